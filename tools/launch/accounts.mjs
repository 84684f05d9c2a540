import { join } from 'node:path';
import { restClient } from './rest.mjs';
import { waitFor } from './wait.mjs';
import { readJsonFile, writeWhole } from './whole-file.mjs';

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
 * Waits for an offer of the host's only node and says who rents it: `renter`, or, where the node could not set its
 * firewall and so is rentable by its owner only, the host itself (whose role must be BOTH).
 */
export async function chooseRenter({ host, renter, progress }) {
  const choose = async () => {
    const [offer] = (await renter.get('/api/v1/offers')).items;
    if (offer) return { renter, offer };
    const [node] = (await host.get('/api/v1/nodes')).items;
    const [own] = node?.rentableByOwnerOnly ? (await host.get('/api/v1/offers')).items : [];
    return own && { renter: host, offer: own };
  };
  const chosen = await waitFor('an offer of this machine', choose, { timeoutMs: 60_000, intervalMs: 100 });
  if (chosen.renter === host)
    progress.note(
      'this user cannot set firewall rules, so only the owner may rent this machine: the host rents it itself',
    );
  return chosen;
}

/**
 * The operator's account of an embedded market, with what this machine needs: a host key for its node and an API key
 * for `npm run market`. Both are made once and kept under `.data/secrets`.
 */
export async function ensureOperatorKeys({ url, dataDir, secrets }) {
  const file = join(dataDir, 'secrets', 'market.json');
  const before = readJsonFile(file);
  if (before) {
    const kept = { ...before, url };
    writeWhole(file, JSON.stringify(kept, null, 2));
    return kept;
  }
  const operator = await signedInClient(url, { email: secrets.operatorEmail, password: secrets.operatorPassword });
  const hostKey = await operator.post('/api/v1/host-keys', { name: 'this machine' });
  const apiKey = await operator.post('/api/v1/api-keys', {
    name: 'npm run market',
    scopes: ['read', 'rentals:write', 'nodes:write', 'keys:write', 'account:write', 'operator'],
  });
  const keys = { url, hostKey: hostKey.secret, apiKey: apiKey.secret, email: secrets.operatorEmail };
  writeWhole(file, JSON.stringify(keys, null, 2));
  return keys;
}
