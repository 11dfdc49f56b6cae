import Anthropic from "@anthropic-ai/sdk";
import { report, base, key } from "./report.mjs";

const said = {};
for (const [name, options] of Object.entries({ apiKey: { apiKey: key }, authToken: { authToken: key, apiKey: null } })) {
    const client = new Anthropic({ baseURL: `${base}/agents/restricted`, maxRetries: 0, ...options });
    try {
        await client.messages.create({ model: "demo-1", max_tokens: 9, messages: [{ role: "user", content: "x" }] });
    } catch (error) {
        said[name] = [error.constructor.name, error.status, error.error?.error?.type];
    }
}
report(said);
