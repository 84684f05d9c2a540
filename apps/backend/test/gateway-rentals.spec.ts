import { randomUUID } from 'node:crypto';
import { CLOSE_CODES, LIMITS, type HostNode, type OfferPage, type Rental } from '@dcompute/shared-types';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Bus } from '../src/infra/index.js';
import { type BackendApp, type SignedIn, startBackend } from './backend-app.js';
import { DatabaseOutage } from './database-outage.js';
import { FakeAgent } from './fake-agent.js';
import { SSH_KEY, specsOf } from './market.js';
import { proxyEnvironment, proxySeed } from './tunnel-seed.js';
import { until } from './until.js';

let backend: BackendApp;
let host: SignedIn;
let renter: SignedIn;
const agents: FakeAgent[] = [];

beforeAll(async () => {
  backend = await startBackend(proxyEnvironment([proxySeed({ portEnd: 20_999 })]));
  host = await backend.signUp('LEASE');
  renter = await backend.signUp('RENT');
  await backend.grant(renter.user.id, '1000');
});
afterEach(async () => {
  await Promise.all(agents.splice(0).map((agent) => agent.cut()));
});
afterAll(() => backend?.close());

async function startAgent(specs = specsOf()): Promise<FakeAgent> {
  const agent = new FakeAgent({ url: backend.url, hostKey: await newHostKey(), specs });
  agents.push(agent);
  return await agent.start();
}

/** Rents the cheapest slice of a node. */
async function rent(agent: FakeAgent, more: Record<string, unknown> = {}): Promise<Rental> {
  const { items } = await renter.client.get<OfferPage>(`/api/v1/offers?nodeId=${agent.nodeId}`);
  const body = { offerId: items[0]?.id, sshPublicKeys: [SSH_KEY], ...more };
  return await renter.client.post<Rental>('/api/v1/rentals', body);
}

const viewOf = ({ id }: Rental) => renter.client.get<Rental>(`/api/v1/rentals/${id}`);
const nodeOf = (agent: FakeAgent) => host.client.get<HostNode>(`/api/v1/nodes/${agent.nodeId}`);

/** The desired item of a rental, once the agent has it by hint or list. */
async function itemOf(agent: FakeAgent, rental: Rental) {
  const start = await agent.next('start_instance', ({ rental_id: id }) => id === rental.id);
  if (!start.instance) throw new Error('the hint is not complete');
  return start.instance;
}

async function count(sql: string, params: readonly unknown[]): Promise<number> {
  const { rows } = await backend.db.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${sql}`, [...params]);
  return rows[0]?.n ?? -1;
}

describe('what a node should run', () => {
  it('a rent reaches the agent at once, complete, and the list says the same one heartbeat later', async () => {
    const agent = await startAgent();
    const rental = await rent(agent, { env: { MODE: 'fast' }, ports: [8080] });
    const start = await agent.next('start_instance');
    expect(start).toMatchObject({
      rental_id: rental.id,
      env_vars: { MODE: 'fast' },
      instance: { desired: 'running', gen: 1, incarnation: 1 },
      spec: { rental_id: rental.id, spec_sha: start.instance?.spec_sha },
    });
    expect(Object.keys(start.proxy_port_mapping)).toEqual(['22', '8080']);
    expect(agent.all('desired')).toHaveLength(1);
    expect((await agent.beatUntilDesired(start.rev ?? 0)).items).toMatchObject([{ rental_id: rental.id, gen: 1 }]);
  });

  it('a change that no message told of costs one poll', async () => {
    const agent = await startAgent();
    const bus = backend.app.get(Bus);
    const publish = bus.publish.bind(bus);
    bus.publish = (topic, payload) => (topic === 'node.changed' ? undefined : publish(topic, payload));
    try {
      const rental = await rent(agent);
      expect((await agent.next('start_instance')).rental_id).toBe(rental.id);
    } finally {
      bus.publish = publish;
    }
  });

  it('hints that are lost cost one heartbeat: the list comes for as long as the node lags behind', async () => {
    const agent = await startAgent();
    const rental = await rent(agent);
    await agent.next('start_instance');
    const lists = () => agent.all('desired').length;
    await agent.beatAndWait();
    await until('a list', () => lists() === 2);
    await until('the list again', async () => {
      await agent.beatAndWait();
      return lists() >= 3;
    });
    agent.revApplied = (await agent.desired(1)).rev;
    const before = lists();
    await agent.beatAndWait();
    await agent.beatAndWait();
    expect(lists()).toBe(before);
    expect((await agent.desired()).items).toMatchObject([{ rental_id: rental.id }]);
  });

  it('a spec is given to its node under its own sha only', async () => {
    const [agent, other] = [await startAgent(), await startAgent()];
    const item = await itemOf(agent, await rent(agent));
    const ask = { placement_id: item.placement_id, spec_sha: item.spec_sha };
    agent.send('get_spec', ask);
    expect(await agent.next('spec')).toMatchObject({ ...ask, spec: { spec_sha: item.spec_sha } });
    other.send('get_spec', ask);
    agent.send('get_spec', { ...ask, spec_sha: 'f'.repeat(64) });
    agent.send('get_spec', { ...ask, placement_id: 'no-uuid' });
    expect((await other.next('error')).code).toBe('agent.spec_unknown');
    await until('both refusals', () => agent.all('error').length === 2);
    expect(new Set(agent.all('error').map(({ code }) => code))).toEqual(new Set(['agent.spec_unknown']));
  });

  it('5,000 placements arrive in parts that keep the limits of a message', async () => {
    const agent = await startAgent();
    const rental = await rent(agent);
    await agent.next('start_instance');
    await multiplyPlacements(rental, 5_000);
    await backend.db.query(`UPDATE "HostNode" SET "rev" = "rev" + 1 WHERE "id" = $1`, [agent.nodeId]);
    await agent.cut();
    const again = await (await returning(agent)).start();
    const list = await again.desired();
    expect(new Set(list.items.map((item) => item.placement_id)).size).toBe(5_000);
    expect(list.parts.length).toBeGreaterThanOrEqual(5_000 / LIMITS.desiredItemsPerPart);
    expect(Math.max(...list.parts.map((part) => part.items.length))).toBeLessThanOrEqual(LIMITS.desiredItemsPerPart);
    expect(Math.max(...again.frameBytes)).toBeLessThanOrEqual(LIMITS.agentMessageBytes);
    const ack = await again.beatAndWait();
    expect(ack.run_until.length).toBeLessThanOrEqual(LIMITS.instancesPerBeat);
    await backend.db.query(`UPDATE "Placement" SET "current" = false WHERE "nodeId" = $1`, [agent.nodeId]);
  });

  it('each answer says how long the instances may run alone, and the time limit of a rental is in it', async () => {
    const agent = await startAgent();
    const [limited, free] = [await rent(agent, { ttlSeconds: 600 }), await rent(agent)];
    await agent.next('start_instance', ({ rental_id: id }) => id === free.id);
    const { run_until: runUntil } = await until('both rentals', async () => {
      const ack = await agent.beatAndWait();
      return ack.run_until.length === 2 ? ack : undefined;
    });
    const remainingOf = ({ id }: Rental) => runUntil.find((item) => item.rental_id === id)?.remaining_ms ?? 0;
    expect(remainingOf(limited)).toBeLessThanOrEqual(600_000);
    expect(remainingOf(limited)).toBeGreaterThan(500_000);
    expect(remainingOf(free)).toBeGreaterThan(21_000_000);
  });

  it('a host that drains its node is heard by the agent, and its offers are gone until it says otherwise', async () => {
    const agent = await startAgent();
    const offers = async () =>
      (await renter.client.get<OfferPage>(`/api/v1/offers?nodeId=${agent.nodeId}`)).items.length;
    expect(await host.client.post(`/api/v1/nodes/${agent.nodeId}/drain`)).toMatchObject({ draining: true });
    expect((await agent.next('drain_node')).mode).toBe('no_new');
    expect(await offers()).toBe(0);
    await host.client.post(`/api/v1/nodes/${agent.nodeId}/drain`, { mode: 'undo' });
    await agent.next('drain_node', ({ mode }) => mode === 'undo');
    expect(await offers()).toBeGreaterThan(0);
  });
});

describe('what an agent reports', () => {
  it('moves the rental at once, by instance_status and by heartbeat, and is acknowledged once it is applied', async () => {
    const agent = await startAgent();
    const rental = await rent(agent);
    const item = await itemOf(agent, rental);
    agent.send('instance_status', agent.report(item, 'pulling'));
    await until('the pull', async () => (await viewOf(rental)).phase === 'pulling');
    await agent.beatAndWait({ instances: [agent.report(item, 'running', { container_id: 'c'.repeat(64) })] });
    expect((await viewOf(rental)).phase).toBe('probing');
  });

  it('a GPU is free again once its instance is gone and it is reported clean', async () => {
    const agent = await startAgent(specsOf(1));
    const rental = await rent(agent);
    const item = await itemOf(agent, rental);
    const gpus = agent.specs.gpus.map(({ uuid }) => ({ uuid, memory_used_mib: 0, processes: 0, clean: true }));
    await agent.beatAndWait({ gpus, instances: [agent.report(item, 'running')] });
    await renter.client.delete(`/api/v1/rentals/${rental.id}`);
    const stop = await agent.next('stop_instance');
    const gone = { ...item, gen: stop.gen ?? 0 };
    await agent.beatAndWait({ gpus: gpus.map((gpu) => ({ ...gpu, processes: 1, clean: false })) });
    await agent.beatAndWait({ instances: [agent.report(gone, 'deleted')] });
    await agent.beatAndWait({ gpus });
    const held = `"GpuAllocation" WHERE "nodeId" = $1 AND "releasedAt" IS NULL`;
    expect(await count(held, [agent.nodeId])).toBe(0);
  });

  it('segments are acknowledged once they are committed, and doubled, reordered or wrong ones change nothing', async () => {
    const agent = await startAgent();
    const item = await itemOf(agent, await rent(agent));
    const now = agent.bootMs;
    const [a, b, c] = [
      agent.segment(item, now - 3_000, now - 2_000),
      agent.segment(item, now - 2_000, now - 1_000),
      agent.segment(item, now - 1_000, now),
    ];
    const wrong = [
      { ...agent.segment(item, now - 9_000, now - 8_000), signature: a.signature },
      agent.segment(item, now - 2_500, now - 1_500),
      agent.segment(item, now - 8_000, now - 7_000, { placement_id: randomUUID() }),
      agent.segment(item, now, now + 3_600_000),
      agent.segment(item, now - 7_000, now - 6_000, { segment_id: 'mine' }),
    ];
    const first = await agent.beatAndWait({ usage: [c, a] });
    expect(first.usage_acked).toEqual([]);
    await agent.beatUntilAcked([a.segment_id, c.segment_id]);
    agent.beat({ usage: [b, a, c, b, ...wrong] });
    const ids = [b, ...wrong].map((segment) => segment.segment_id);
    await agent.beatUntilAcked(ids);
    const { rows } = await backend.db.query<{ segmentId: string }>(
      `SELECT "segmentId" FROM "UsageSegment" WHERE "nodeId" = $1 ORDER BY "fromMs"`,
      [agent.nodeId],
    );
    expect(rows.map((row) => row.segmentId)).toEqual([a.segment_id, b.segment_id, c.segment_id]);
  });

  it('nothing is lost in an outage of the database: heartbeats count, and reports are acknowledged after it', async () => {
    const agent = await startAgent();
    const rental = await rent(agent);
    const item = await itemOf(agent, rental);
    const outage = await DatabaseOutage.begin(backend.database);
    const segment = agent.segment(item, agent.bootMs - 500, agent.bootMs);
    let held: number;
    try {
      const ack = await agent.beatAndWait({ usage: [segment] });
      expect(ack.usage_acked).toEqual([]);
      held = agent.beat({ instances: [agent.report(item, 'pulling')] });
      await until('the backend to notice', async () => (await backend.request('GET', '/health/ready')).status === 503);
      expect(agent.all('heartbeat_ack').map(({ seq }) => seq)).not.toContain(held);
    } finally {
      await outage.end();
    }
    await agent.next('heartbeat_ack', ({ seq }) => seq === held);
    expect((await viewOf(rental)).phase).toBe('pulling');
    await agent.beatUntilAcked([segment.segment_id]);
    expect(agent.closed).toBeUndefined();
    expect(await count(`"NodeWindow" WHERE "nodeId" = $1`, [agent.nodeId])).toBe(1);
  });
});

describe('R6: a database that was restored from a backup', () => {
  it('is noticed by a higher generation; revisions rise above it and removals wait for an operator', async () => {
    const agent = await startAgent();
    const rental = await rent(agent);
    const item = await itemOf(agent, rental);
    await agent.cut();
    const again = await returning(agent);
    await again.start({ rev_applied: 40, gens: [{ placement_id: item.placement_id, gen: 7 }] });
    expect(again.all('welcome')[0]).toMatchObject({ frozen: true, rev: 41 });
    const list = await again.desired();
    expect(list).toMatchObject({ rev: 41, frozen: true, items: [{ gen: 8, desired: 'running' }] });
    expect((await nodeOf(again)).frozenReason).toMatch(/restored from a backup/);
    expect((await renter.client.get<OfferPage>(`/api/v1/offers?nodeId=${again.nodeId}`)).items).toEqual([]);

    const { client } = await backend.operator();
    await client.post(`/api/v1/nodes/${again.nodeId}/confirm`);
    again.revApplied = 41;
    expect(await again.beatUntilDesired(42)).toMatchObject({ rev: 42, frozen: false });
    await expect(client.post(`/api/v1/nodes/${again.nodeId}/confirm`)).rejects.toMatchObject({
      problem: { code: 'node.not_frozen' },
    });
  });

  it('is noticed by a placement that the database does not know', async () => {
    const agent = await startAgent();
    await agent.cut();
    const again = await returning(agent);
    await again.start({ gens: [{ placement_id: randomUUID(), gen: 1 }] });
    expect(again.all('welcome')[0]?.frozen).toBe(true);
  });

  it('a node that holds back a list which would stop most of it is frozen', async () => {
    const agent = await startAgent();
    agent.send('error', { code: 'agent.mass_stop_held', message: 'revision 9 would stop 5 of 6 instances' });
    await until('the freeze', async () => (await nodeOf(agent)).frozenReason);
    expect((await agent.beatUntilDesired(1)).frozen).toBe(true);
  });
});

describe('the gateway itself', () => {
  it('ends cleanly: agents are sent away to come back, and what they had proved is recorded', async () => {
    const agent = await startAgent();
    const item = await itemOf(agent, await rent(agent));
    const segment = agent.segment(item, agent.bootMs - 100, agent.bootMs);
    await agent.beatAndWait({ usage: [segment] });
    await backend.restart();
    expect(await agent.end()).toBe(CLOSE_CODES.goingAway);
    expect(await count(`"UsageSegment" WHERE "segmentId" = $1`, [segment.segment_id])).toBe(1);
  });
});

/** A host key: each session of these tests has its own, as a host may change them. */
async function newHostKey(): Promise<string> {
  return (await host.client.post<{ secret: string }>('/api/v1/host-keys', { name: 'test' })).secret;
}

/** A later session of the same node on the same boot, not connected yet. */
async function returning(agent: FakeAgent): Promise<FakeAgent> {
  const { identity, bootId, specs } = agent;
  const again = new FakeAgent({ url: backend.url, hostKey: await newHostKey(), identity, bootId, specs });
  agents.push(again);
  return again;
}

/** Copies the rental and its placement until the node has this many. */
async function multiplyPlacements(rental: Rental, total: number): Promise<void> {
  await backend.db.query(
    `WITH copies AS (
       SELECT gen_random_uuid() AS rental_id, gen_random_uuid() AS placement_id FROM generate_series(2, $2::int)
     ), rentals AS (
       INSERT INTO "Rental" ("id", "renterId", "nodeId", "offerId", "createdById", "costPerHour", "status", "image", "runType",
           "containerPorts", "sshHostKeySecretId", "sshHostKeyFingerprint", "sshHostPublicKey", "sshAuthorizedKeys", "gpuCount",
           "cpuMillicores", "ramMib", "diskGib")
       SELECT c.rental_id, r."renterId", r."nodeId", r."offerId", r."createdById", 0, 'PENDING', r."image", r."runType",
           r."containerPorts", r."sshHostKeySecretId", r."sshHostKeyFingerprint", r."sshHostPublicKey", r."sshAuthorizedKeys",
           r."gpuCount", r."cpuMillicores", r."ramMib", r."diskGib"
         FROM copies c, "Rental" r WHERE r."id" = $1
     )
     INSERT INTO "Placement" ("id", "rentalId", "nodeId", "desired", "specSha", "spec", "nodeRev")
     SELECT c.placement_id, c.rental_id, p."nodeId", p."desired", p."specSha", p."spec", p."nodeRev"
       FROM copies c, "Placement" p WHERE p."rentalId" = $1`,
    [rental.id, total],
  );
}
