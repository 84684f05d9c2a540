import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { restClient } from './rest.mjs';

/** Signs in and returns a client whose token is renewed before it runs out. */
export async function signedInClient(url, { email, password }) {
  return sessionClient(url, await restClient({ url }).post('/api/v1/auth/sign-in', { email, password }));
}

/** Signs up a new account and returns its client. */
export async function signedUpClient(url, { email, password, displayName, role }) {
  return sessionClient(
    url,
    await restClient({ url }).post('/api/v1/auth/sign-up', { email, password, displayName, role }),
  );
}

function sessionClient(url, session) {
  let current = session;
  const anonymous = restClient({ url });
  const token = async () => {
    if (Date.parse(current.tokenExpiresAt) - Date.now() < 15_000) {
      current = await anonymous.post('/api/v1/auth/refresh', { sessionToken: current.sessionToken });
    }
    return current.token;
  };
  return { ...restClient({ url, token }), user: session.user };
}

/**
 * The operator's account of an embedded market, with what this machine needs: a host key for its node and an API key
 * for `npm run market`. Both are made once and kept under `.data/secrets`.
 */
export async function ensureOperatorKeys({ url, dataDir, secrets }) {
  const file = join(dataDir, 'secrets', 'market.json');
  if (existsSync(file)) {
    const kept = { ...JSON.parse(readFileSync(file, 'utf8')), url };
    writeFileSync(file, JSON.stringify(kept, null, 2), { mode: 0o600 });
    return kept;
  }
  const operator = await signedInClient(url, { email: secrets.operatorEmail, password: secrets.operatorPassword });
  const hostKey = await operator.post('/api/v1/host-keys', { name: 'this machine' });
  const apiKey = await operator.post('/api/v1/api-keys', {
    name: 'npm run market',
    scopes: ['read', 'rentals:write', 'nodes:write', 'keys:write', 'account:write', 'operator'],
  });
  const keys = { url, hostKey: hostKey.secret, apiKey: apiKey.secret, email: secrets.operatorEmail };
  writeFileSync(file, JSON.stringify(keys, null, 2), { mode: 0o600 });
  return keys;
}
