// A server of OpenID Connect for tests: oidc-provider with accounts, keys and clients that are told on standard input.
//
//   node oidc_provider.mjs PORT    FERROFLOW_OIDC_PROVIDER is the node_modules of the package
//
// Each line of the input is a JSON object {jwks, accounts, clients}: the server goes on with it. It prints "ready".
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const { default: Provider } = await import(
  pathToFileURL(`${process.env.FERROFLOW_OIDC_PROVIDER}/oidc-provider/lib/index.js`)
);
const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
let accounts = {};
let answer = (_, response) => response.writeHead(503).end();
const asked = {};

const claimsOf = (name) => ({ preferred_username: name, groups: [], ...accounts[name] });

function provider({ jwks, clients }) {
  return new Provider(issuer, {
    jwks,
    clients,
    cookies: { keys: ['not a secret'] },
    claims: { openid: ['sub'], profile: ['preferred_username', 'groups'] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    findAccount: (_, name) => ({ accountId: name, claims: () => ({ sub: name, ...claimsOf(name) }) }),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true },
      rpInitiatedLogout: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: (_, audience) => ({ scope: 'api', audience, accessTokenFormat: 'jwt' }),
      },
    },
    extraTokenClaims: (_, token) => claimsOf(token.accountId ?? token.clientId),
  });
}

createServer((request, response) => {
  const path = request.url.split('?')[0];
  if (path === '/asked') {
    response.end(JSON.stringify(asked));
    return;
  }
  asked[path] = (asked[path] ?? 0) + 1;
  answer(request, response);
}).listen(port, '127.0.0.1');

for await (const line of createInterface({ input: process.stdin })) {
  const told = JSON.parse(line);
  accounts = told.accounts;
  answer = provider(told).callback();
  console.log('ready');
}
process.exit(0);
