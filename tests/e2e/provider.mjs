// A real OpenID provider for a test: npm's oidc-provider, with one client and its own resources.
//
//   node provider.mjs MODULE SETTINGS.json
//
// The client gets access tokens in the form of JWTs (RFC 9068) by the client credentials grant. The
// resource that it asks for (RFC 8707) says for whom a token is, and for how many seconds.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { pathToFileURL } from 'node:url';

const [, , module, file] = process.argv;
const { default: Provider, errors } = await import(pathToFileURL(module).href);
const settings = JSON.parse(readFileSync(file, 'utf8'));

const provider = new Provider(settings.issuer, {
  clients: [{
    client_id: settings.client,
    client_secret: settings.secret,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  }],
  cookies: { keys: [settings.secret] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo(_, resource) {
        const wanted = settings.resources[resource];
        if (wanted === undefined) throw new errors.InvalidTarget();
        return {
          scope: '',
          audience: wanted.audience,
          accessTokenFormat: 'jwt',
          accessTokenTTL: wanted.secs,
          jwt: { sign: { alg: 'RS256' } },
        };
      },
    },
  },
  jwks: settings.jwks,
});

createServer({ cert: settings.certificate, key: settings.key }, provider.callback())
  .listen(settings.port, settings.host);
