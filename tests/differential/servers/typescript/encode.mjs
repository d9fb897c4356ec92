// What the encoders of JavaScript write for names: JSON from standard input to standard output. Needs no package.
import { readFileSync } from "node:fs";

const encoders = {
  encodeURIComponent: (name) => `note://h/${encodeURIComponent(name)}`,
  encodeURI: (name) => encodeURI(`note://h/${name}`),
  URL: (name) => new URL(`note://h/${encodeURIComponent(name)}`).href,
  "URL of raw text": (name) => new URL(`note://h/${name}`).href,
  URLSearchParams: (name) => `search://x?${new URLSearchParams({ q: name })}`,
  "URL.searchParams": (name) => {
    const url = new URL("search://x");
    url.searchParams.set("q", name);
    return url.href;
  },
};
const names = JSON.parse(readFileSync(0, "utf8"));
const written = Object.entries(encoders).map(([encoder, encode]) => [encoder, names.map(encode)]);
process.stdout.write(JSON.stringify(Object.fromEntries(written)));
