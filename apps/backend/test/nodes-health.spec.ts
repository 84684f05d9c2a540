import type { HostNode, NodeStatus } from '@dcompute/shared-types';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Bus } from '../src/infra/index.js';
import { NodeHealth } from '../src/modules/nodes/index.js';
import { type Market, type TestNode, openMarket } from './market.js';

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;

let market: Market;
let health: NodeHealth;
beforeAll(async () => {
  market = await openMarket({ NODE_LOST_MS: String(24 * HOUR) });
  health = market.backend.app.get(NodeHealth);
});
afterAll(() => market?.close());

/** Time passes while a gateway is up and hears nothing; the sweep looks every second second, as its timer would. */
async function silence(ms: number): Promise<void> {
  const stepMs = ms > HOUR ? 20 * SECOND : 2 * SECOND;
  for (let passed = 0; passed < ms; passed += stepMs) {
    market.advance(Math.min(stepMs, ms - passed));
    await market.metering.recordBatch({ beats: [], segments: [] });
  }
  await health.sweep();
}

const statusOf = async ({ host, nodeId }: TestNode): Promise<NodeStatus> =>
  (await host.client.get<HostNode>(`/api/v1/nodes/${nodeId}`)).status;

const seen = (node: TestNode, seenAtMs = market.nowMs()) =>
  health.recordSeen([{ ...node.fence, seenAt: new Date(seenAtMs), status: 'online' }]);

async function freshNode(): Promise<TestNode> {
  await silence(2 * SECOND);
  return await market.node();
}

describe('a silent node', () => {
  it('is suspect after 30 s and has no offers, unreachable after 60 s, and all is well with the next heartbeat', async () => {
    const node = await freshNode();
    await silence(28 * SECOND);
    expect(await statusOf(node)).toBe('online');
    await silence(2 * SECOND);
    expect(await statusOf(node)).toBe('suspect');
    await expect.poll(() => market.offersOf(node)).toEqual([]);
    await silence(30 * SECOND);
    expect(await statusOf(node)).toBe('unreachable');
    await seen(node);
    expect(await statusOf(node)).toBe('online');
    await expect.poll(() => market.offersOf(node)).not.toEqual([]);
  });

  it('is lost after 24 hours, each step is said once, and its owner finds it in the events', async () => {
    const node = await freshNode();
    const said: NodeStatus[] = [];
    const end = market.backend.app
      .get(Bus)
      .subscribe('node.health_changed', ({ nodeId, status }) => void (nodeId === node.nodeId && said.push(status)));
    for (const ms of [30 * SECOND, 30 * SECOND, 24 * HOUR - 80 * SECOND]) await silence(ms);
    expect(await statusOf(node)).toBe('unreachable');
    await silence(20 * SECOND);
    expect(await statusOf(node)).toBe('lost');
    end();
    expect(said).toEqual(['suspect', 'unreachable', 'lost']);
    const { rows } = await market.backend.db.query<{ status: string }>(
      `SELECT "data"->>'status' AS status FROM "OutboxEvent"
        WHERE "subjectId" = $1 AND "type" = 'node.health_changed' ORDER BY "id"`,
      [node.nodeId],
    );
    expect(rows.map((row) => row.status)).toEqual(said);
  });

  it('is not blamed for an outage of the platform: silence counts from when gateways are up again', async () => {
    const node = await freshNode();
    market.advance(48 * HOUR);
    await health.sweep();
    expect(await statusOf(node)).toBe('online');
    await silence(28 * SECOND);
    expect(await statusOf(node)).toBe('online');
    await silence(4 * SECOND);
    expect(await statusOf(node)).toBe('suspect');
  });

  it('a heartbeat that was recorded late does not make it well, and one of an older session says nothing', async () => {
    const node = await freshNode();
    const { fence } = node;
    const before = market.nowMs();
    await silence(32 * SECOND);
    await seen(node, before + 1);
    expect(await statusOf(node)).toBe('suspect');
    await node.reconnect();
    await silence(32 * SECOND);
    await health.recordSeen([{ ...fence, seenAt: new Date(market.nowMs()), status: 'online' }]);
    expect(await statusOf(node)).toBe('suspect');
  });

  it('neither waits for a rent that holds its row', async () => {
    const node = await freshNode();
    const { rows } = await market.backend.db
      .query('BEGIN')
      .then(() => market.backend.db.query(`SELECT "id" FROM "HostNode" WHERE "id" = $1 FOR UPDATE`, [node.nodeId]));
    expect(rows).toHaveLength(1);
    await seen(node);
    await silence(32 * SECOND);
    await market.backend.db.query('COMMIT');
    expect(await statusOf(node)).toBe('online');
    await health.sweep();
    expect(await statusOf(node)).toBe('suspect');
  });
});
