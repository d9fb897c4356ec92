// The TypeScript SDK 2.x as a server that records what it executes (see ../README.md).
import { createServer } from "node:http";
import { McpServer, ResourceTemplate, Server, createMcpHandler } from "@modelcontextprotocol/server";
import { toNodeHandler } from "@modelcontextprotocol/node";
import { CAPABILITIES, METHODS, FIXTURE, TEMPLATES, answerTo, correlated, options, recordOf, recordVariables, write } from "./record.mjs";

function exact() {
  const server = new Server({ name: "exact", version: "1" }, { capabilities: CAPABILITIES });
  for (const method of METHODS) {
    try {
      server.setRequestHandler(method, (request) => {
        recordOf(request);
        return answerTo(method);
      });
    } catch {
      // Not a method of this SDK: the fallback below takes it.
    }
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

const handlers = {
  "/exact": toNodeHandler(createMcpHandler(exact, { responseMode: "json" })),
  "/named": toNodeHandler(createMcpHandler(named, { responseMode: "json" })),
  "/templates": toNodeHandler(createMcpHandler(templates, { responseMode: "json" })),
};

createServer((request, response) => {
  const handler = handlers[request.url];
  if (handler === undefined) {
    response.writeHead(404).end();
    return;
  }
  correlated(request, () => handler(request, response));
}).listen(options.port, "127.0.0.1");
