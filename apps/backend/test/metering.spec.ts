import type { GuardProbe, Rental } from '@dcompute/shared-types';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Bus } from '../src/infra/index.js';
import { type Market, type Renter, type TestNode, openMarket } from './market.js';

const SECOND = 1_000;
const BOOTED_AT_MS = 1_700_000_000_000;

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market?.close());

/** Stretches of a table's windows in seconds since `sinceMs`, in order. */
async function windows(table: 'NodeWindow' | 'ProbeWindow' | 'PlatformWindow', key: string, sinceMs: number) {
  const column = { NodeWindow: 'nodeId', ProbeWindow: 'rentalId', PlatformWindow: 'component' }[table];
  const { rows } = await market.backend.db.query<{ fromAt: Date; toAt: Date }>(
    `SELECT "fromAt", "toAt" FROM "${table}" WHERE "${column}"::text = $1 ORDER BY "fromAt"`,
    [key],
  );
  return rows.map(({ fromAt, toAt }) => [fromAt, toAt].map((at) => (at.getTime() - sinceMs) / SECOND));
}

const beats = (
  node: TestNode,
  spans: readonly (readonly [number, number])[],
  bootId = 'boot-a',
  offsetMs = BOOTED_AT_MS,
) => ({
  ...node.fence,
  spans: spans.map(([firstAtMs, lastAtMs]) => ({ bootId, firstAtMs, lastAtMs, offsetMs })),
});

async function rented(): Promise<{ renter: Renter; node: TestNode; rental: Rental; leaseId: string }> {
  const [renter, node] = await Promise.all([market.renter(), market.node()]);
  const [offer] = await market.offersOf(node);
  const rental = await renter.rent(offer?.id ?? '');
  const leaseId = await market.value(`SELECT "id" FROM "PortLease" WHERE "rentalId" = $1 AND "containerPort" = 22`, [
    rental.id,
  ]);
  return { renter, node, rental, leaseId: leaseId ?? '' };
}

describe('windows of heartbeats', () => {
  it('each heartbeat covers 30 s more, silence below 60 s is bridged within a boot, and longer silence is not', async () => {
    const node = await market.node();
    const at = market.nowMs();
    const record = (fromS: number, toS = fromS, bootId?: string) =>
      market.metering.recordBatch({
        beats: [beats(node, [[at + fromS * SECOND, at + toS * SECOND]], bootId)],
        segments: [],
      });
    await record(0);
    expect(await windows('NodeWindow', node.nodeId, at)).toEqual([[0, 30]]);
    await record(5, 10);
    await record(69.999);
    expect(await windows('NodeWindow', node.nodeId, at)).toEqual([[0, 99.999]]);
    await record(130);
    await record(135, 135, 'boot-b');
    expect(await windows('NodeWindow', node.nodeId, at)).toEqual([
      [0, 99.999],
      [130, 160],
      [135, 165],
    ]);
  });

  it('a batch that is given twice changes nothing twice, also with gaps in it', async () => {
    const node = await market.node();
    const at = market.nowMs();
    const batch = {
      beats: [
        beats(node, [
          [at, at + 20 * SECOND],
          [at + 100 * SECOND, at + 120 * SECOND],
          [at + 300 * SECOND, at + 300 * SECOND],
        ]),
      ],
      segments: [],
    };
    await market.metering.recordBatch(batch);
    await market.metering.recordBatch(batch);
    expect(await windows('NodeWindow', node.nodeId, at)).toEqual([
      [0, 50],
      [100, 150],
      [300, 330],
    ]);
  });

  it('a session that is no longer the latest adds nothing', async () => {
    const node = await market.node();
    const stale = beats(node, [[market.nowMs(), market.nowMs()]]);
    await node.reconnect();
    await market.metering.recordBatch({ beats: [stale], segments: [] });
    expect(await windows('NodeWindow', node.nodeId, 0)).toEqual([]);
    expect(await market.value(`SELECT count(*) FROM "NodeClock" WHERE "nodeId" = $1`, [node.nodeId])).toBe('0');
  });

  it('a thousand nodes take as many statements as one', async () => {
    const node = await market.node();
    const at = market.nowMs();
    const statements = await statementsOf(() =>
      market.metering.recordBatch({ beats: [beats(node, [[at, at]])], segments: [] }),
    );
    const many = Array.from({ length: 1_000 }, () => beats(node, [[at, at]]));
    expect(await statementsOf(() => market.metering.recordBatch({ beats: many, segments: [] }))).toBe(statements);
  });
});

describe('the clock of a node', () => {
  it('is the smallest distance of the last hour, so that a delayed heartbeat moves nothing', async () => {
    const node = await market.node();
    const offset = async () =>
      Number(await market.value(`SELECT "offsetMs" FROM "NodeClock" WHERE "nodeId" = $1`, [node.nodeId])) -
      BOOTED_AT_MS;
    const record = (delayMs: number) => {
      const at = market.nowMs();
      return market.metering.recordBatch({
        beats: [beats(node, [[at, at]], 'boot-a', BOOTED_AT_MS + delayMs)],
        segments: [],
      });
    };
    await record(80);
    await record(5);
    await record(900);
    expect(await offset()).toBe(5);
    for (let minute = 0; minute < 40; minute += 1) {
      market.advance(60 * SECOND);
      await record(20);
    }
    expect(await offset()).toBe(5);
    for (let minute = 0; minute < 30; minute += 1) {
      market.advance(60 * SECOND);
      await record(25);
    }
    expect(await offset()).toBe(20);
    market.advance(7_200 * SECOND);
    await record(60);
    expect(await offset()).toBe(60);
  });
});

describe('usage segments', () => {
  it('are stored for placements of their own node only, once, and never over each other', async () => {
    const [{ node, rental }, other] = await Promise.all([rented(), market.node()]);
    const at = market.nowMs();
    const [first, second] = [
      await node.segment(rental, at - 3_000, at - 2_000),
      await node.segment(rental, at - 2_000, at),
    ];
    await node.meter([second, first, first]);
    await node.meter([first, await node.segment(rental, at - 2_500, at - 1_500)]);
    await other.meter([
      await node.segment(rental, at - 9_000, at - 8_000),
      await other.segment(rental, at - 9_000, at - 8_000),
    ]);
    const stored = await market.value(
      `SELECT string_agg("fromMs" || '..' || "toMs", ' ' ORDER BY "fromMs") FROM "UsageSegment" WHERE "rentalId" = $1`,
      [rental.id],
    );
    expect(stored).toBe(`${first.from_ms}..${first.to_ms} ${second.from_ms}..${second.to_ms}`);
  });

  it('that a host invents outside heartbeats and probes cost its renter nothing', async () => {
    const { renter, node, rental } = await rented();
    await node.run(rental);
    await node.prove(rental, 60 * SECOND);
    await market.billing.tick();
    const charged = async () => (await renter.client.get<Rental>(`/api/v1/rentals/${rental.id}`)).chargedTotal;
    const before = await charged();
    expect(Number(before)).toBeGreaterThan(0);
    market.advance(3_600 * SECOND);
    const until = market.nowMs();
    await node.meter([await node.segment(rental, until - 3_000 * SECOND, until)]);
    await market.billing.tick();
    expect(await charged()).toBe(before);
  });
});

describe('probes of the guard', () => {
  const probe = (leaseId: string, rental: Rental, atMs: number, ok = true): GuardProbe => ({
    leaseId,
    rentalId: rental.id,
    at: new Date(atMs).toISOString(),
    ok,
    durationMs: 3,
    ...(ok ? {} : { failure: 'timeout' }),
  });
  const record = (probes: GuardProbe[], proxyServerId = market.proxyServerId) =>
    market.metering.recordProbes(proxyServerId, probes);

  it('a window extends only while the last good probe is under 90 s old, whatever the order of the reports', async () => {
    const { rental, leaseId } = await rented();
    const at = market.nowMs();
    market.advance(600 * SECOND);
    const good = [0, 30, 119, 300, 330].map((s) => probe(leaseId, rental, at + s * SECOND));
    await record([...good.slice(3), probe(leaseId, rental, at + 200 * SECOND, false)]);
    await record(good.slice(0, 2));
    await record(good.slice(2, 3));
    await record(good);
    expect(await windows('ProbeWindow', rental.id, at)).toEqual([
      [0, 209],
      [300, 420],
    ]);
    await record([probe(leaseId, rental, at + 250 * SECOND), probe(leaseId, rental, at + 205 * SECOND)]);
    expect(await windows('ProbeWindow', rental.id, at)).toEqual([[0, 420]]);
  });

  it('a failure lasts from its first failed probe to the next good one, and late reports do not change that', async () => {
    const { rental, leaseId } = await rented();
    const at = market.nowMs();
    market.advance(600 * SECOND);
    const state = async () =>
      await market.value(
        `SELECT concat_ws(' ', extract(epoch FROM "failingSince" - $2::timestamptz)::int, "failure")
           FROM "ProbeState" WHERE "rentalId" = $1`,
        [rental.id, new Date(at)],
      );
    await record([probe(leaseId, rental, at), probe(leaseId, rental, at + 60 * SECOND, false)]);
    await record([probe(leaseId, rental, at + 90 * SECOND, false), probe(leaseId, rental, at + 30 * SECOND)]);
    expect(await state()).toBe('60 timeout');
    await record([probe(leaseId, rental, at + 120 * SECOND)]);
    await record([probe(leaseId, rental, at + 90 * SECOND, false)]);
    expect(await state()).toBe('');
  });

  it('of leases that are not on its own proxy server are ignored, and so is the future', async () => {
    const { rental, leaseId } = await rented();
    const elsewhere = await rented();
    const at = market.nowMs();
    await record([probe(leaseId, rental, at)], '7a1f2c3d-0000-4000-8000-00000000000f');
    await record([probe(leaseId, elsewhere.rental, at)]);
    expect(await windows('ProbeWindow', rental.id, at)).toEqual([]);
    expect(await windows('ProbeWindow', elsewhere.rental.id, at)).toEqual([]);
    await record([probe(leaseId, rental, at + 3_600 * SECOND)]);
    expect(await windows('ProbeWindow', rental.id, at)).toEqual([[0, 90]]);
  });

  it('tell the rest of the platform once they are committed', async () => {
    const { rental, leaseId } = await rented();
    const bus = market.backend.app.get(Bus);
    const { promise, resolve } = Promise.withResolvers<readonly string[]>();
    const end = bus.subscribe('metering.evidence', ({ rentalIds }) => resolve(rentalIds));
    await record([probe(leaseId, rental, market.nowMs())]);
    expect(await promise).toEqual([rental.id]);
    end();
  });
});

describe('liveness of the platform', () => {
  it('of gateways: short silence is no outage, longer silence is', async () => {
    const up = () => market.metering.gatewaysUpSince();
    const tick = () => market.metering.recordBatch({ beats: [], segments: [] });
    market.advance(600 * SECOND);
    expect(await up()).toBeNull();
    await tick();
    const since = new Date(market.nowMs());
    market.advance(25 * SECOND);
    await tick();
    expect(await up()).toEqual(since);
    market.advance(31 * SECOND);
    expect(await up()).toBeNull();
    await tick();
    expect(await up()).toEqual(new Date(market.nowMs()));
  });

  it('of a guard: its probes show it, also those that it kept while the backend was away, and an empty report', async () => {
    const at = market.nowMs();
    const component = `guard:${market.proxyServerId}`;
    await market.backend.db.query(`DELETE FROM "PlatformWindow" WHERE "component" = $1`, [component]);
    const { rental, node } = await rented();
    market.advance(300 * SECOND);
    await market.metering.recordProbes(market.proxyServerId, []);
    for (const s of [60, 0, 30]) await node.probe(rental, s !== 30, at + s * SECOND);
    expect(await windows('PlatformWindow', component, at)).toEqual([
      [0, 150],
      [300, 390],
    ]);
  });
});

/** How many statements the backend's database runs during `work`; nothing else runs in this market. */
async function statementsOf(work: () => Promise<unknown>): Promise<number> {
  const { metering } = market;
  const { pool } = Reflect.get(metering, 'db') as { pool: import('pg').Pool };
  let statements = 0;
  const client = await pool.connect();
  const prototype = Object.getPrototypeOf(client) as { query: (...args: unknown[]) => unknown };
  client.release();
  const { query } = prototype;
  prototype.query = function (...args) {
    statements += 1;
    return query.apply(this, args);
  };
  try {
    await work();
  } finally {
    prototype.query = query;
  }
  return statements;
}
