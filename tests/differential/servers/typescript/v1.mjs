// The TypeScript SDK 1.x as a server that records what it executes (see ../README.md).
import { createServer } from "node:http";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { McpServer, ResourceTemplate } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import * as types from "@modelcontextprotocol/sdk/types.js";
import { CAPABILITIES, FIXTURE, TEMPLATES, answerTo, correlated, options, recordOf, recordVariables, write } from "./record.mjs";

const SCHEMAS = [
  types.PingRequestSchema,
  types.ListToolsRequestSchema,
  types.CallToolRequestSchema,
  types.ListResourcesRequestSchema,
  types.ListResourceTemplatesRequestSchema,
  types.ReadResourceRequestSchema,
  types.SubscribeRequestSchema,
  types.UnsubscribeRequestSchema,
  types.ListPromptsRequestSchema,
  types.GetPromptRequestSchema,
  types.CompleteRequestSchema,
  types.SetLevelRequestSchema,
];

function exact() {
  const server = new Server({ name: "exact", version: "1" }, { capabilities: CAPABILITIES });
  for (const schema of SCHEMAS) {
    server.setRequestHandler(schema, (request) => {
      recordOf(request);
      return answerTo(request.method);
    });
  }
  server.fallbackRequestHandler = async (request) => {
    recordOf(request);
    return {};
  };
  return server;
}

function named() {
  const server = new McpServer({ name: "named", version: "1" });
  for (const name of FIXTURE.names) {
    server.registerTool(name, {}, () => {
      write("tools/call", [name]);
      return { content: [] };
    });
    server.registerPrompt(name, {}, () => {
      write("prompts/get", [name]);
      return { messages: [] };
    });
  }
  for (const uri of FIXTURE.uris) {
    server.registerResource(uri, uri, {}, () => {
      write("resources/read", [uri]);
      return { contents: [] };
    });
  }
  return server;
}

function templates() {
  const server = new McpServer({ name: "templates", version: "1" });
  for (const template of TEMPLATES) {
    server.registerResource(template, new ResourceTemplate(template, { list: undefined }), {}, (url, variables) => {
      recordVariables(template, url, variables);
      return { contents: [] };
    });
  }
  return server;
}

const servers = { "/exact": exact, "/named": named, "/templates": templates };

createServer((request, response) => {
  const make = servers[request.url];
  if (make === undefined) {
    response.writeHead(404).end();
    return;
  }
  correlated(request, async () => {
    const server = make();
    const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
    response.on("close", () => {
      transport.close();
      server.close();
    });
    await server.connect(transport);
    await transport.handleRequest(request, response);
  });
}).listen(options.port, "127.0.0.1");
