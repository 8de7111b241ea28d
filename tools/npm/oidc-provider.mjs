// Issuers of OpenID Connect for the tests, each on a port of loopback, as a JSON file says (tests/servers/oidc.py).
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

import { Provider } from 'oidc-provider';

for (const issuer of JSON.parse(readFileSync(process.argv[2], 'utf8'))) {
  const provider = new Provider(issuer.url, {
    clients: issuer.clients,
    jwks: issuer.jwks,
    claims: {
      openid: ['sub'],
      profile: ['name', 'preferred_username'],
      email: ['email', 'email_verified'],
      groups: ['groups'],
    },
    // Whether the ID token has what was asked for, or only the answer of the userinfo endpoint.
    conformIdTokenClaims: issuer.claimsByUserinfo,
    async findAccount(_, sub) {
      const known = issuer.accounts[sub];
      return known && { accountId: sub, claims: () => ({ sub, ...known }) };
    },
    // A workflow's token: what `sub` it has is its client's id, and more is in `workflows`.
    extraTokenClaims: (_, token) => issuer.workflows[token.clientId],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, audience) => ({
          scope: 'any', audience, accessTokenFormat: 'jwt', accessTokenTTL: 300, jwt: { sign: { alg: 'RS256' } },
        }),
      },
      rpInitiatedLogout: { enabled: true },
    },
    cookies: { keys: [issuer.url] },
    ttl: { Interaction: 600, Session: 600, Grant: 600, IdToken: 600, AccessToken: 600, ClientCredentials: 300 },
  });
  const answer = provider.callback();
  const server = issuer.certificate
    ? https.createServer({ cert: readFileSync(issuer.certificate), key: readFileSync(issuer.key) }, answer)
    : http.createServer(answer);
  server.listen(issuer.port, '127.0.0.1');
}
