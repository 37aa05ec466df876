// An OpenID Connect issuer for the tests: oidc-provider over TLS on loopback, with
// three clients and whoever says a name. `/control` changes what it will say next.
//
// Usage: node issuer.mjs CERTIFICATE KEY, then one line of JSON on standard input:
// {"redirect": the console's address to come back to}; prints {"issuer": address}.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

const [certificate, key] = process.argv.slice(2);
const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) });
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const issuer = `https://127.0.0.1:${server.address().port}`;
console.log(JSON.stringify({ issuer }));

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { redirect } = JSON.parse((await lines.next()).value);

// Nobody outlives the test that started it.
process.stdin.on('end', () => process.exit(0));

const groups = new Map();
let said = null; // what the token endpoint says next instead of its own ID token
let last = null; // the ID token that it gave last

const client = (client_id) => ({
  client_id,
  client_secret: `the secret of ${client_id}`,
  redirect_uris: [redirect],
});
const provider = new Provider(issuer, {
  clients: [client('bureau'), client('another')],
  claims: { profile: ['name', 'preferred_username', 'groups'] },
  conformIdTokenClaims: false,
  cookies: { keys: ['only for tests'] },
  pkce: { required: () => true, methods: ['S256'] },
  ttl: { Interaction: 600, Session: 600, Grant: 600, AccessToken: 600, IdToken: 600 },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      name: `Name of ${id}`,
      preferred_username: id,
      groups: groups.get(id) ?? [],
    }),
  }),
});
provider.use(async (ctx, next) => {
  if (ctx.path === '/control') {
    const { id, group, say } = ctx.query;
    if (id) groups.set(id, group ? [].concat(group) : []);
    if (say !== undefined) said = say || null;
    ctx.body = { last };
    return;
  }
  await next();
  // Its pages would ask for letters elsewhere.
  if (typeof ctx.body === 'string') ctx.body = ctx.body.replace(/@import url[^;]*;/g, '');
  if (ctx.path === '/token' && ctx.body?.id_token) {
    last = ctx.body.id_token;
    if (said) ctx.body = { ...ctx.body, id_token: said };
  }
});
server.on('request', provider.callback());
console.log('{}');
