import { CLOSE_CODES, LIMITS, type OfferPage, type Rental } from '@dcompute/shared-types';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BackendApp, type SignedIn, startBackend } from './backend-app.js';
import { FakeAgent } from './fake-agent.js';
import { SSH_KEY } from './market.js';
import { proxyEnvironment, proxySeed } from './tunnel-seed.js';
import { until } from './until.js';

let backend: BackendApp;
let renter: SignedIn;
let agent: FakeAgent;

beforeAll(async () => {
  backend = await startBackend({ ...proxyEnvironment([proxySeed({ portEnd: 20_999 })]), LOG_LEVEL: 'silent' });
  const host = await backend.signUp('LEASE');
  renter = await backend.signUp('RENT');
  await backend.grant(renter.user.id, '1000');
  const { secret } = await host.client.post<{ secret: string }>('/api/v1/host-keys', { name: 'node' });
  agent = await new FakeAgent({ url: backend.url, hostKey: secret }).start();
});
afterAll(async () => {
  await agent?.cut();
  await backend?.close();
});

async function rent(more: Record<string, unknown>): Promise<Rental> {
  const { items } = await renter.client.get<OfferPage>(`/api/v1/offers?nodeId=${agent.nodeId}`);
  return await renter.client.post<Rental>('/api/v1/rentals', {
    offerId: items[0]?.id,
    sshPublicKeys: [SSH_KEY],
    ...more,
  });
}

/** Control characters take six bytes each in JSON. */
const swollen = (length: number) => '\u0001'.repeat(length);
const longKey = (n: number) => `${SSH_KEY}${n} ${'x'.repeat(LIMITS.sshPublicKeyBytes - SSH_KEY.length - 10)}`;
const manyKeys = Array.from({ length: LIMITS.sshKeysPerRental }, (_, n) => longKey(n));

describe('a renter cannot make a message that the agent would have to cut its connection for', () => {
  it.each([
    ['an environment that JSON swells', { env: { A: swollen(32_000), B: swollen(32_000) } }],
    ['a long command', { command: Array.from({ length: 8 }, () => 'x'.repeat(32_000)) }],
    ['too many long SSH keys', { sshPublicKeys: manyKeys }],
  ])('%s is refused', async (_name, more) => {
    await expect(rent(more)).rejects.toMatchObject({ status: 400, problem: { code: 'request.invalid' } });
  });

  it('registered keys that are too long together are refused as well, and so is a change to too long ones', async () => {
    const other = await backend.signUp('RENT');
    await backend.grant(other.user.id, '10');
    await backend.db.query(
      `INSERT INTO "SshKey" ("userId", "name", "publicKey", "fingerprint")
       SELECT $1, 'key', key, md5(key) FROM unnest($2::text[]) AS key`,
      [other.user.id, manyKeys],
    );
    const { items } = await other.client.get<OfferPage>(`/api/v1/offers?nodeId=${agent.nodeId}`);
    await expect(other.client.post('/api/v1/rentals', { offerId: items[0]?.id })).rejects.toMatchObject({
      status: 400,
      problem: { code: 'request.invalid' },
    });
    const rental = await rent({});
    const change = renter.client.patch(`/api/v1/rentals/${rental.id}`, { sshPublicKeys: manyKeys });
    await expect(change).rejects.toMatchObject({ status: 400, problem: { code: 'request.invalid' } });
  });

  it('the largest that is allowed arrives within the limit of a message', async () => {
    const value = 'x'.repeat(LIMITS.envValueBytes - 10);
    const command = Array.from({ length: 3 }, () => 'x'.repeat(28_000));
    const rental = await rent({ env: { A: value, B: value, C: value }, command });
    const item = await until('the rental in a list', async () => {
      await agent.beatAndWait();
      return agent
        .all('desired')
        .flatMap(({ items }) => items)
        .find(({ rental_id: id }) => id === rental.id);
    });
    agent.send('get_spec', { placement_id: item.placement_id, spec_sha: item.spec_sha });
    expect((await agent.next('spec')).spec.env_vars).toEqual({ A: value, B: value, C: value });
    expect(agent.closed).toBeUndefined();
    expect(Math.max(...agent.frameBytes)).toBeLessThanOrEqual(LIMITS.agentMessageBytes);
  });
});

describe('an agent cannot fill the memory of the platform', () => {
  it('with reports that it sends faster than they can be applied: it is told to come again', async () => {
    const rental = await rent({});
    const item = await until('the rental in a list', async () => {
      await agent.beatAndWait();
      return agent
        .all('desired')
        .flatMap(({ items }) => items)
        .find(({ rental_id: id }) => id === rental.id);
    });
    const report = agent.report(item, 'pulling', { message: 'x'.repeat(900) });
    const instances = Array.from({ length: LIMITS.instancesPerBeat }, () => report);
    await backend.db.query('BEGIN');
    await backend.db.query(`SELECT FROM "Rental" WHERE "id" = $1 FOR UPDATE`, [rental.id]);
    for (let beat = 0; beat < 60; beat += 1) agent.beat({ instances });
    const closed = await until('the end of the connection', () => agent.closed);
    await backend.db.query('ROLLBACK');
    expect(closed).toMatchObject({ code: CLOSE_CODES.tryAgainLater, reason: 'agent.rate_limited' });
  });
});
