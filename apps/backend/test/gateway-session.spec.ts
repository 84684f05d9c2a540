import { randomBytes } from 'node:crypto';
import { CLOSE_CODES, LIMITS, type CreatedHostKey, type HostNode, type OfferPage } from '@dcompute/shared-types';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type BackendApp, type SignedIn, startBackend } from './backend-app.js';
import { FakeAgent, type FakeAgentOptions, UpgradeRefused, newIdentity } from './fake-agent.js';
import { specsOf } from './market.js';
import { until } from './until.js';

let backend: BackendApp;
let host: SignedIn;
const agents: FakeAgent[] = [];

beforeAll(async () => {
  backend = await startBackend();
  host = await backend.signUp('LEASE');
});
afterEach(async () => {
  await Promise.all(agents.splice(0).map((agent) => agent.cut()));
});
afterAll(() => backend?.close());

const newHostKey = (who = host) => who.client.post<CreatedHostKey>('/api/v1/host-keys', { name: 'test' });

async function newAgent(options: Partial<FakeAgentOptions> = {}): Promise<FakeAgent> {
  const hostKey = options.hostKey ?? (await newHostKey()).secret;
  const agent = new FakeAgent({ url: backend.url, ...options, hostKey });
  agents.push(agent);
  return agent;
}

const nodeOf = (agent: FakeAgent) => host.client.get<HostNode>(`/api/v1/nodes/${agent.nodeId}`);

async function refusalOf(agent: FakeAgent): Promise<UpgradeRefused> {
  const refusal = await agent.connect().then(
    () => undefined,
    (error: unknown) => error,
  );
  if (refusal instanceof UpgradeRefused) return refusal;
  throw new Error('not refused', { cause: refusal });
}

/** A later boot of the same machine: it is let in once the earlier session has been silent for long enough. */
async function reboot({ identity, specs }: FakeAgent): Promise<FakeAgent> {
  const { secret } = await newHostKey();
  return await until('the silence to be long enough', async () => {
    const agent = await (await newAgent({ hostKey: secret, identity, specs })).connect();
    agent.sayHello();
    await until('an answer', () => agent.closed ?? agent.all('desired')[0]);
    if (agent.closed) return undefined;
    agent.nodeId = agent.all('welcome')[0]?.node_id ?? '';
    return agent;
  });
}

describe('the upgrade', () => {
  it('is refused without a host key that exists, with a stable code', async () => {
    const { status, body } = await refusalOf(
      await newAgent({ hostKey: `dhk_${randomBytes(32).toString('base64url')}` }),
    );
    expect([status, body['code']]).toEqual([401, 'agent.host_key_invalid']);
    expect(body).toMatchObject({ type: 'urn:dcompute:problem:agent.host_key_invalid', status: 401 });
  });

  it('is refused with a revoked host key, and a connected agent is cut off at once', async () => {
    const key = await newHostKey();
    const connected = await (await newAgent({ hostKey: key.secret })).start();
    await host.client.delete(`/api/v1/host-keys/${key.id}`);
    expect(await connected.end()).toBe(CLOSE_CODES.refused);
    expect(connected.all('error')).toMatchObject([{ code: 'agent.host_key_revoked' }]);
    const { status, body } = await refusalOf(await newAgent({ hostKey: key.secret }));
    expect([status, body['code']]).toEqual([403, 'agent.host_key_revoked']);
  });

  it('a revocation that no message told of costs one poll', async () => {
    const key = await newHostKey();
    const connected = await (await newAgent({ hostKey: key.secret })).start();
    await backend.db.query(`UPDATE "HostKey" SET "revokedAt" = now() WHERE "id" = $1`, [key.id]);
    expect(await connected.end()).toBe(CLOSE_CODES.refused);
  });

  it('is refused for an account that has become a renter only', async () => {
    const turncoat = await backend.signUp('BOTH');
    const { secret } = await newHostKey(turncoat);
    await turncoat.client.patch('/api/v1/me', { role: 'RENT' });
    const { status, body } = await refusalOf(await newAgent({ hostKey: secret }));
    expect([status, body['code']]).toEqual([403, 'agent.role_forbidden']);
  });

  it('one host key holds a bounded number of sockets', async () => {
    const { secret } = await newHostKey();
    for (let count = 0; count < 4; count += 1) await (await newAgent({ hostKey: secret })).connect();
    const { status, body } = await refusalOf(await newAgent({ hostKey: secret }));
    expect([status, body['code']]).toEqual([429, 'agent.rate_limited']);
  });

  it('any other address has no socket', async () => {
    const agent = new FakeAgent({ url: `${backend.url}/elsewhere`, hostKey: 'x' });
    await expect(agent.connect()).rejects.toThrow();
  });
});

describe('enrolment', () => {
  it('the first hello makes the node, with offers at once', async () => {
    const agent = await (await newAgent({ specs: specsOf(2, 8) })).start();
    const node = await nodeOf(agent);
    expect(node).toMatchObject({ ownerId: host.user.id, name: 'fake', status: 'online', frozenReason: null });
    expect(node.capacity).toMatchObject({ totalCpuMillicores: 8000, freeCpuMillicores: 8000, freeRamMib: 16_384 });
    const offers = await host.client.get<OfferPage>(`/api/v1/offers?nodeId=${agent.nodeId}`);
    expect(new Set(offers.items.map((offer) => offer.gpuCount))).toEqual(new Set([1, 2]));
  });

  it('the same node comes back as itself, also under a new host key of its owner', async () => {
    const first = await (await newAgent()).start();
    await first.cut();
    const again = await (await newAgent({ identity: first.identity, bootId: first.bootId })).start();
    expect(again.nodeId).toBe(first.nodeId);
  });

  it('a host key that has a node admits no other identity', async () => {
    const { secret } = await newHostKey();
    await (await newAgent({ hostKey: secret })).start();
    const other = await (await newAgent({ hostKey: secret })).connect();
    other.sayHello();
    expect(await other.end()).toBe(CLOSE_CODES.refused);
    expect(other.all('error')).toMatchObject([{ code: 'agent.identity_mismatch' }]);
  });

  it("an identity of one account is refused under another account's host key", async () => {
    const mine = await (await newAgent()).start();
    const stranger = await backend.signUp('LEASE');
    const thief = await newAgent({
      identity: mine.identity,
      bootId: mine.bootId,
      hostKey: (await newHostKey(stranger)).secret,
    });
    (await thief.connect()).sayHello();
    expect(await thief.end()).toBe(CLOSE_CODES.refused);
    expect(thief.all('error')).toMatchObject([{ code: 'agent.identity_mismatch' }]);
  });

  it('a hello that another key signed is refused, at enrolment and later, and so is a replayed one', async () => {
    const { secret } = await newHostKey();
    const forger = await (await newAgent({ hostKey: secret })).connect();
    forger.sayHello({ public_key: newIdentity().publicKey });
    expect(await forger.end()).toBe(CLOSE_CODES.refused);

    const real = await (await newAgent({ hostKey: secret })).start();
    const recorded = real.hello();
    const replay = await (await newAgent({ hostKey: secret })).connect();
    replay.send('hello', recorded);
    expect(await replay.end()).toBe(CLOSE_CODES.refused);
    expect([forger, replay].map((agent) => agent.all('error')[0]?.code)).toEqual([
      'agent.signature_invalid',
      'agent.signature_invalid',
    ]);
  });

  it('another version of the protocol is refused with a sentence', async () => {
    const agent = await (await newAgent()).connect();
    agent.sayHello({ protocol_version: 99 });
    expect(await agent.end()).toBe(CLOSE_CODES.refused);
    expect(agent.all('error')).toMatchObject([{ code: 'agent.protocol_version_unsupported' }]);
  });

  it('a GPU that is also in another node is flagged at the newcomer, which gets no offers', async () => {
    const specs = specsOf(1);
    const first = await (await newAgent({ specs })).start();
    const second = await (await newAgent({ specs })).start();
    expect((await nodeOf(second)).frozenReason).toMatch(/also in another node/);
    expect((await nodeOf(first)).frozenReason).toBeNull();
    const offersOf = async ({ nodeId }: FakeAgent) =>
      (await host.client.get<OfferPage>(`/api/v1/offers?nodeId=${nodeId}`)).items.length;
    expect([await offersOf(first), await offersOf(second)]).toEqual([1, 0]);

    await second.cut();
    expect((await nodeOf(await reboot(second))).frozenReason).toMatch(/also in another node/);
    const operator = await backend.operator();
    await operator.client.post(`/api/v1/nodes/${second.nodeId}/confirm`);
    expect((await nodeOf(second)).frozenReason).toBeNull();
    expect(await offersOf(second)).toBe(1);
  });
});

describe('fencing', () => {
  it('a newer session of the same boot takes over, and the older socket is closed as fenced', async () => {
    const { secret } = await newHostKey();
    const older = await (await newAgent({ hostKey: secret })).start();
    const newer = await newAgent({ hostKey: secret, identity: older.identity, bootId: older.bootId });
    await newer.start();
    expect(await older.end()).toBe(CLOSE_CODES.fenced);
    expect(newer.all('welcome')[0]?.session_epoch).toBe((older.all('welcome')[0]?.session_epoch ?? 0) + 1);
    expect((await newer.beatAndWait()).seq).toBe(1);
  });

  it('an epoch that rose on another replica closes the socket at the next poll', async () => {
    const agent = await (await newAgent()).start();
    await backend.db.query(`UPDATE "HostNode" SET "sessionEpoch" = "sessionEpoch" + 1 WHERE "id" = $1`, [agent.nodeId]);
    expect(await agent.end()).toBe(CLOSE_CODES.fenced);
  });

  it('what an older session heard is not recorded once a newer one has begun', async () => {
    const agent = await (await newAgent()).start();
    await backend.db.query(
      `UPDATE "HostNode" SET "sessionEpoch" = "sessionEpoch" + 1, "lastSeenAt" = '2020-01-01' WHERE "id" = $1`,
      [agent.nodeId],
    );
    agent.beat();
    await agent.end();
    await backend.restart();
    const { rows } = await backend.db.query<{ windows: string; seen: Date }>(
      `SELECT (SELECT count(*) FROM "NodeWindow" w WHERE w."nodeId" = n."id") AS windows, n."lastSeenAt" AS seen
         FROM "HostNode" n WHERE n."id" = $1`,
      [agent.nodeId],
    );
    expect(rows[0]).toMatchObject({ windows: '0', seen: new Date('2020-01-01T00:00:00') });
  });

  it('another boot of a live node is refused as a clone and flagged; once the first is silent it was a reboot', async () => {
    const { secret } = await newHostKey();
    const first = await (await newAgent({ hostKey: secret })).start();
    const clone = await (await newAgent({ hostKey: secret, identity: first.identity })).connect();
    clone.sayHello();
    expect(await clone.end()).toBe(CLOSE_CODES.cloneSuspected);
    expect(first.closed).toBeUndefined();
    expect((await nodeOf(first)).frozenReason).toMatch(/Another machine/);
    await first.cut();
    const rebooted = await reboot(first);
    expect(rebooted.all('welcome')[0]?.node_id).toBe(first.nodeId);
    expect((await nodeOf(first)).frozenReason).toBeNull();
  });
});

describe('frames', () => {
  it('malformed ones are answered, and the tenth within a minute closes with 1008', async () => {
    const agent = await (await newAgent()).start();
    const wrong = ['no json', '[]', '{"event":1}', '{"event":"heartbeat","data":{}}', '{"event":"ack","data":null}'];
    for (const text of [...wrong, ...wrong.slice(0, 3)]) agent.sendText(text);
    agent.sendText(Buffer.from([1, 2, 3]));
    await until('nine answers', () => agent.all('error').length === 9);
    expect(agent.closed).toBeUndefined();
    agent.sendText('the tenth');
    expect(await agent.end()).toBe(CLOSE_CODES.policyViolation);
    expect(new Set(agent.all('error').map(({ code }) => code))).toEqual(new Set(['agent.malformed_message']));
  });

  it('an unknown event is ignored, so that newer agents work here', async () => {
    const agent = await (await newAgent()).start();
    for (let count = 0; count < 20; count += 1) agent.send('something_new', { count });
    expect((await agent.beatAndWait()).seq).toBe(1);
    expect(agent.all('error')).toEqual([]);
  });

  it('one over 256 KiB closes with 1009, one of just that size is read', async () => {
    const agent = await (await newAgent()).start();
    const padding = (bytes: number) => `{"event":"future","data":{"x":"${'x'.repeat(bytes - 34)}"}}`;
    expect(padding(LIMITS.agentMessageBytes)).toHaveLength(LIMITS.agentMessageBytes);
    agent.sendText(padding(LIMITS.agentMessageBytes));
    expect((await agent.beatAndWait()).seq).toBe(1);
    agent.sendText(padding(LIMITS.agentMessageBytes + 1));
    expect(await agent.end()).toBe(CLOSE_CODES.messageTooBig);
  });

  it('a flood is cut off, to be tried again later', async () => {
    const agent = await (await newAgent()).start();
    for (let count = 0; count < 2_000; count += 1) agent.send('something_new', {});
    expect(await agent.end()).toBe(CLOSE_CODES.tryAgainLater);
    expect(agent.all('error')).toMatchObject([{ code: 'agent.rate_limited' }]);
  });

  it('nothing is taken before the hello, and a socket has one hello', async () => {
    const agent = await (await newAgent()).connect();
    agent.beat({ node_id: 'early' });
    expect((await agent.next('error')).code).toBe('agent.hello_required');
    agent.sayHello();
    await agent.next('welcome');
    agent.sayHello();
    await agent.next('error', ({ message }) => /one hello/.test(message));
  });

  it('a heartbeat in the name of another node counts as malformed', async () => {
    const [one, other] = [await (await newAgent()).start(), await (await newAgent()).start()];
    one.beat({ node_id: other.nodeId });
    expect((await one.next('error')).code).toBe('agent.malformed_message');
  });

  it('a NUL anywhere is refused before it reaches the database', async () => {
    const agent = await (await newAgent()).connect();
    agent.sayHello({ agent_version: 'v\0' });
    expect((await agent.next('error')).code).toBe('agent.malformed_message');
  });

  it("the specification's own heartbeat, without anything of ours, is enough to stay", async () => {
    const agent = await (await newAgent()).start();
    agent.send('heartbeat', {
      node_id: agent.nodeId,
      status: 'online',
      metrics: { gpu_temp: [], gpu_utilization: [], ram_usage_mb: 1, disk_usage_gb: 1 },
    });
    expect(await agent.next('heartbeat_ack')).toMatchObject({ seq: 0, usage_acked: [], run_until: [] });
  });
});
