import { ClientFactory, ClientFactoryOptions, DefaultAgentCardResolver, JsonRpcTransportFactory } from "@a2a-js/sdk/client";
import { Role } from "@a2a-js/sdk";
import { report, base, key } from "./report.mjs";

const fetchImpl = (url, options = {}) => {
    const headers = new Headers(options.headers);
    headers.set("Authorization", `Bearer ${key}`);
    return fetch(url, { ...options, headers });
};
const options = ClientFactoryOptions.createFrom(ClientFactoryOptions.default, {
    transports: [new JsonRpcTransportFactory({ fetchImpl })],
    cardResolver: new DefaultAgentCardResolver({ fetchImpl }),
});
const client = await new ClientFactory(options).createFromUrl(`${base}/agents/assistant/`);
const text = { content: { $case: "text", value: "node" }, mediaType: "text/plain", filename: "" };
const message = { messageId: crypto.randomUUID(), contextId: "", taskId: "", role: Role.ROLE_USER, parts: [text] };
report(await client.sendMessage({ message: { ...message, extensions: [], referenceTaskIds: [] } }));
