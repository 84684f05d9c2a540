import type { Rental, RentalEventPage } from '@dcompute/shared-types';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Market, openMarket } from './market.js';
import { rentWhole, viewOf } from './rented.js';

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market?.close());

describe('what time decides', () => {
  it('deletes a rental when its TTL is over, whatever it is doing; a new TTL counts from now', async () => {
    const it = await rentWhole(market, { ttlSeconds: 600 });
    market.advance(500_000);
    const later = await it.renter.client.patch<Rental>(it.path, { ttlSeconds: 600 });
    expect(later.ttlExpiresAt).toBe(new Date(market.nowMs() + 600_000).toISOString());
    market.advance(599_999);
    await market.sweeper.deleteExpired();
    expect(await viewOf(it)).toMatchObject({ status: 'PROVISIONING' });
    market.advance(1);
    await market.sweeper.deleteExpired();
    await market.sweeper.deleteExpired();
    expect(await viewOf(it)).toMatchObject({ status: 'STOPPING', endReason: 'ttl_expired' });
  });

  it('stops a rental whose SSH port fails for minutes while its node answers, and not before', async () => {
    const it = await rentWhole(market);
    await it.node.run(it.rental);
    for (let minute = 0; minute < 5; minute += 1) {
      market.advance(60_000);
      await it.node.probe(it.rental, false);
      await market.sweeper.stopUnprovable();
      expect(await viewOf(it)).toMatchObject({ status: 'RUNNING' });
    }
    market.advance(60_000);
    await it.node.probe(it.rental, false);
    await market.sweeper.stopUnprovable();
    expect(await viewOf(it)).toMatchObject({ status: 'STOPPING', endReason: 'probe_timeout' });
  });

  it('does not hold it against an instance that its guard was away: failures count from its return', async () => {
    const it = await rentWhole(market);
    await it.node.run(it.rental);
    market.advance(30_000);
    await it.node.probe(it.rental, false);
    market.advance(3_600_000);
    await it.node.probe(it.rental, false);
    await market.sweeper.stopUnprovable();
    expect(await viewOf(it)).toMatchObject({ status: 'RUNNING' });
    for (let passedMs = 0; passedMs < 300_000; passedMs += 30_000) {
      market.advance(30_000);
      await it.node.probe(it.rental, false);
    }
    await market.sweeper.stopUnprovable();
    expect(await viewOf(it)).toMatchObject({ status: 'STOPPING', endReason: 'probe_timeout' });
  });

  it('does not hold a silent node, or a silent guard, against the instance', async () => {
    const [silentNode, silentGuard] = [await rentWhole(market), await rentWhole(market)];
    for (const it of [silentNode, silentGuard]) {
      await it.node.run(it.rental);
      await it.node.probe(it.rental, false);
    }
    market.advance(600_000);
    await silentNode.node.probe(silentNode.rental, false);
    await market.backend.db.query(`UPDATE "HostNode" SET "status" = 'unreachable' WHERE "id" = $1`, [
      silentNode.node.nodeId,
    ]);
    await market.sweeper.stopUnprovable();
    expect(await viewOf(silentNode)).toMatchObject({ status: 'RUNNING' });
    expect(await viewOf(silentGuard)).toMatchObject({ status: 'RUNNING' });
  });

  it('lets health follow the node, and ends the rentals of a lost one but for stopped ones', async () => {
    const [lost, kept] = [await rentWhole(market), await rentWhole(market)];
    for (const it of [lost, kept]) await it.node.run(it.rental);
    await kept.renter.client.post(`${kept.path}/stop`);
    await kept.node.say(kept.rental, 'stopped');
    const setStatus = async (status: string) => {
      await market.backend.db.query(`UPDATE "HostNode" SET "status" = $2 WHERE "id" = ANY ($1)`, [
        [lost.node.nodeId, kept.node.nodeId],
        status,
      ]);
      await market.sweeper.sweep();
    };
    await setStatus('suspect');
    expect(await viewOf(lost)).toMatchObject({ health: 'suspect', status: 'RUNNING' });
    await setStatus('online');
    expect(await viewOf(lost)).toMatchObject({ health: 'ok' });
    await setStatus('unreachable');
    expect(await viewOf(lost)).toMatchObject({ health: 'unreachable', status: 'RUNNING' });
    await setStatus('lost');
    expect(await viewOf(lost)).toMatchObject({ status: 'TERMINATED', endReason: 'host_lost' });
    expect(await viewOf(kept)).toMatchObject({ status: 'STOPPED' });
    // Allocated until the node itself says that the instance is gone.
    const held = () =>
      market.value(`SELECT count(*) FROM "CapacityAllocation" WHERE "rentalId" = $1 AND "diskReleasedAt" IS NULL`, [
        lost.rental.id,
      ]);
    expect(await held()).toBe('1');
    await lost.node.say(lost.rental, 'deleted');
    expect(await held()).toBe('0');
  });

  it('notes once that a node does not confirm a stop, and frees nothing', async () => {
    const it = await rentWhole(market);
    await it.node.run(it.rental);
    await it.renter.client.post(`${it.path}/stop`);
    market.advance(120_001);
    await market.sweeper.noteOverdueStops();
    await market.sweeper.noteOverdueStops();
    const { items } = await it.renter.client.get<RentalEventPage>(`${it.path}/events`);
    expect(items.filter(({ type }) => type === 'stop_overdue')).toHaveLength(1);
    expect(await viewOf(it)).toMatchObject({ status: 'STOPPING' });
  });

  it('keeps what a node had that shut down, and takes it up again when the node is back', async () => {
    const it = await rentWhole(market);
    await it.node.run(it.rental);
    await it.node.say(it.rental, 'stopped', { reason: 'node_shutdown' });
    expect(await viewOf(it)).toMatchObject({ status: 'STOPPED', endReason: 'node_shutdown' });
    market.advance(3_600_000);
    await market.billing.settle();
    expect(await market.balanceOf(it.renter)).toMatchObject({ held: '0.000000' });
    await it.node.say(it.rental, 'starting');
    expect(await viewOf(it)).toMatchObject({ status: 'PROVISIONING', endReason: null });
    await market.billing.tick();
    expect((await market.balanceOf(it.renter)).held).toBe('0.666666');
    await it.node.run(it.rental);
    expect(await viewOf(it)).toMatchObject({ status: 'RUNNING' });
  });
});
