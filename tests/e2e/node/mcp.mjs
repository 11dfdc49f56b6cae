import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { report, base, key } from "./report.mjs";

const transport = new StreamableHTTPClientTransport(new URL(`${base}/agents/assistant/mcp`), {
    requestInit: { headers: { "X-API-Key": key } },
});
const client = new Client({ name: "test", version: "1" });
await client.connect(transport);
const { tools } = await client.listTools();
const sum = await client.callTool({ name: "add", arguments: { a: 2, b: 3 } });
const failed = await client.callTool({ name: "fail", arguments: {} });
const session = Boolean(transport.sessionId);
await transport.terminateSession();
await client.close();
report({ tools: tools.map((tool) => tool.name), sum: sum.content[0].text, failed: failed.isError, session });
