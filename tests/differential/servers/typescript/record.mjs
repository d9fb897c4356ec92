// What both servers share: the record channel, and which message is being carried out.
import { AsyncLocalStorage } from "node:async_hooks";
import { appendFileSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";

export const { values: options } = parseArgs({
  options: { port: { type: "string" }, record: { type: "string" }, fixture: { type: "string" } },
});
const fixture = JSON.parse(readFileSync(options.fixture, "utf8"));
export const FIXTURE = fixture.named;
export const TEMPLATES = fixture.templates;
// Methods can have any name, those of an object's own properties too.
const MEMBERS = new Map(Object.entries(fixture.members));
const WITH_ARGUMENTS = fixture.with_arguments;
export const CAPABILITIES = {
  tools: {},
  prompts: {},
  resources: { subscribe: true },
  completions: {},
  logging: {},
};
const ANSWERS = {
  "tools/list": { tools: [] },
  "tools/call": { content: [] },
  "resources/list": { resources: [] },
  "resources/templates/list": { resourceTemplates: [] },
  "resources/read": { contents: [] },
  "prompts/list": { prompts: [] },
  "prompts/get": { messages: [] },
  "completion/complete": { completion: { values: [] } },
};
export const METHODS = [...Object.keys(ANSWERS), "ping", "resources/subscribe", "resources/unsubscribe", "logging/setLevel"];

// The SDK says once per endpoint that this mode drops what these servers never send.
console.warn = () => {};

const message = new AsyncLocalStorage();

/** Runs with the request's `x-message` known. */
export function correlated(request, run) {
  message.run(request.headers["x-message"] ?? "?", run);
}

/** One execution. */
export function write(method, names, args = null) {
  appendFileSync(options.record, JSON.stringify([message.getStore() ?? "?", method, names, args]) + "\n");
}

/** The execution of a request as a handler is given it. */
export function recordOf({ method, params = {} }) {
  const member = MEMBERS.get(method);
  const named = params[member];
  let names = [];
  if (member === "ref") {
    names = [named[named.type === "ref/prompt" ? "name" : "uri"]];
  } else if (member === "notifications") {
    names = [...(named.resourceSubscriptions ?? []), ...(named.taskIds ?? [])];
  } else if (member !== undefined) {
    names = [named];
  }
  write(method, names, WITH_ARGUMENTS.includes(method) ? argumentsOf(method, params) : null);
}

function argumentsOf(method, params) {
  if (method !== "completion/complete") {
    return params.arguments ?? {};
  }
  return { ...params.context?.arguments, [params.argument.name]: params.argument.value };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function decodedAll(variables) {
  const each = (value) => (Array.isArray(value) ? value.map(decoded) : decoded(value));
  return Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, each(value)]));
}

/** The execution of a template's handler: what it is given, as it is and decoded, and what it can read from the URL. */
export function recordVariables(template, url, variables) {
  const once = decodedAll(variables);
  const parts = { host: decoded(url.hostname), path: decoded(url.pathname), query: Object.fromEntries(url.searchParams) };
  write("resources/read", [template], [variables, once, decodedAll(once), parts]);
}

export function answerTo(method) {
  return Object.hasOwn(ANSWERS, method) ? ANSWERS[method] : {};
}
