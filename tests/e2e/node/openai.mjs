import OpenAI from "openai";
import { report, base, key } from "./report.mjs";

const client = (agent) => new OpenAI({ baseURL: `${base}/agents/${agent}/v1`, apiKey: key, maxRetries: 0 });
const ask = { model: "demo-1", messages: [{ role: "user", content: "tell me a story" }] };
const told = [];
for await (const chunk of await client("assistant").chat.completions.create({ ...ask, stream: true })) {
    told.push(chunk.choices[0]?.delta?.content ?? "");
}
const errors = {};
for (const agent of ["restricted", "scarce", "scarce"]) {
    try {
        await client(agent).chat.completions.create(ask);
    } catch (error) {
        const retry = error.headers?.get("retry-after");
        errors[agent] = [error.constructor.name, error.status, error.code, Boolean(error.requestID), Boolean(retry)];
    }
}
report({ told: told.join(""), errors });
