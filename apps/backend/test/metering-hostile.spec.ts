import type { Rental } from '@dcompute/shared-types';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Market, type TestNode, openMarket } from './market.js';

const SECOND = 1_000;

let market: Market;
beforeAll(async () => {
  market = await openMarket({ LOG_LEVEL: 'silent' });
});
afterAll(() => market?.close());

async function rented(): Promise<{ node: TestNode; rental: Rental }> {
  const [renter, node] = await Promise.all([market.renter(), market.node()]);
  const [offer] = await market.offersOf(node);
  return { node, rental: await renter.rent(offer?.id ?? '') };
}

const segmentsOf = ({ id }: Rental) => market.value(`SELECT count(*) FROM "UsageSegment" WHERE "rentalId" = $1`, [id]);

describe('segments of one host do no harm to the others', () => {
  it('those that the database refuses keep nobody else from being recorded', async () => {
    const [bad, good] = [await rented(), await rented()];
    const at = market.nowMs();
    const segments = await Promise.all(
      [bad, good].map(async ({ node, rental }) => node.received([await node.segment(rental, at - 10 * SECOND, at)])),
    );
    await market.backend.db.query(
      `ALTER TABLE "UsageSegment" ADD CONSTRAINT "refused" CHECK ("rentalId" <> '${bad.rental.id}')`,
    );
    const settled = await market.metering.recordBatch({ beats: [], segments });
    await market.backend.db.query(`ALTER TABLE "UsageSegment" DROP CONSTRAINT "refused"`);
    expect([...settled.keys()]).toEqual([good.node.nodeId]);
    expect(await segmentsOf(bad.rental)).toBe('0');
    expect(await segmentsOf(good.rental)).toBe('1');
    await bad.node.meter(segments[0]?.segments ?? []);
    expect(await segmentsOf(bad.rental)).toBe('1');
  });

  it('a rental in countless pieces gets no further ones: its record stays of a size that a charge can read', async () => {
    const { node, rental } = await rented();
    const at = market.nowMs();
    const first = await node.segment(rental, at - 60_000 * SECOND, at - 60_000 * SECOND + 1);
    await node.meter([first]);
    await market.backend.db.query(
      `INSERT INTO "UsageSegment"
       SELECT "segmentId" || ':' || i, "nodeId", "rentalId", "placementId", "incarnation", "containerId", "bootId", "n" + i,
              "fromMs" + 2 * i, "toMs" + 2 * i, "signature", "receivedAt"
         FROM "UsageSegment", generate_series(1, 9_999) AS i WHERE "segmentId" = $1`,
      [first.segment_id],
    );
    const late = await node.segment(rental, at - 10 * SECOND, at);
    const settled = await market.metering.recordBatch({ beats: [], segments: [node.received([late])] });
    expect(settled.get(node.nodeId)).toEqual([late.segment_id]);
    expect(await segmentsOf(rental)).toBe('10000');
  });
});
