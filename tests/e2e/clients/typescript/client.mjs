// The official TypeScript SDK 2.x as a headless client. See ../README.md.
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';

const [url, user, mode = 'auto'] = process.argv.slice(2);

/** Keeps everything in memory, and says yes at a demo issuer that consents. */
class HeadlessProvider {
  asked = [];
  answer = new URLSearchParams();
  redirectUrl = 'http://127.0.0.1:6299/callback';
  clientMetadata = { client_name: 'typescript v2', redirect_uris: ['http://127.0.0.1:6299/callback'] };
  #client;
  #tokens;
  #verifier;

  clientInformation() { return this.#client; }
  saveClientInformation(client) { this.#client = client; }
  tokens() { return this.#tokens; }
  saveTokens(tokens) { this.#tokens = tokens; }
  saveCodeVerifier(verifier) { this.#verifier = verifier; }
  codeVerifier() { return this.#verifier; }

  async redirectToAuthorization(authorization) {
    const asked = authorization.searchParams;
    this.asked.push({
      scope: asked.get('scope') ?? '',
      resource: asked.get('resource') ?? '',
      code_challenge_method: asked.get('code_challenge_method') ?? '',
    });
    const response = await fetch(`${authorization}&login_hint=${user}`, { redirect: 'manual' });
    this.answer = new URL(response.headers.get('location')).searchParams;
  }
}

const provider = new HeadlessProvider();
let client;
let transport;

/** The SDK stops once it has sent the person to the browser; with the code in hand, try again. */
async function signedIn(attempt) {
  for (let round = 0; ; round += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof UnauthorizedError) || round >= 2) throw error;
      await transport.finishAuth(provider.answer);
    }
  }
}

async function connect() {
  client = new Client({ name: 'extauthz-e2e', version: '1' }, { versionNegotiation: { mode } });
  transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
  await client.connect(transport);
}

const call = async (name, args) =>
  (await signedIn(() => client.callTool({ name, arguments: args }))).structuredContent;

const report = {};
await signedIn(connect);
report.tools = (await signedIn(() => client.listTools())).tools.map((tool) => tool.name);
report.forecast = await call('get_forecast', { city: 'Oslo' });
report.alert = await call('set_alert', { city: 'Oslo', below_celsius: -10 });
report.again = await call('get_forecast', { city: 'Lisbon' });
const before = provider.asked.length;
try {
  await call('purge', {});
  report.purge = 'allowed';
} catch (error) {
  report.purge = String(error.message ?? error);
}
report.asked_after_purge = provider.asked.length - before;
report.asked = provider.asked;
report.scope = provider.tokens()?.scope ?? null;
report.protocol = client.getNegotiatedProtocolVersion?.() ?? null;
await client.close();
console.log(JSON.stringify(report));
