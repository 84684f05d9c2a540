import type { RentalEventPage } from '@dcompute/shared-types';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Market, SSH_KEY, openMarket } from './market.js';
import { rentWhole, viewOf } from './rented.js';

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market?.close());

describe('a start', () => {
  it('is measured phase by phase on our clock, shows the pull, and ends with our own proof', async () => {
    const it = await rentWhole(market);
    market.advance(100);
    await it.node.say(it.rental, 'pulling');
    const progress = { layers_done: 1, layers_total: 3, bytes_done: 10, bytes_total: 99 };
    await it.node.say(it.rental, 'pulling', { pull_progress: progress });
    expect(await viewOf(it)).toMatchObject({ phase: 'pulling', pullProgress: progress, phasesMs: { scheduled: 100 } });
    market.advance(2000);
    await it.node.say(it.rental, 'starting');
    market.advance(300);
    await it.node.say(it.rental, 'running', { container_id: 'f'.repeat(64) });
    expect(await viewOf(it)).toMatchObject({ status: 'PROVISIONING', phase: 'probing', pullProgress: null });
    market.advance(50);
    const provenAt = new Date(market.nowMs()).toISOString();
    await it.node.probe(it.rental, true);
    market.advance(400);
    await market.sweeper.proveReady(null);
    expect(await viewOf(it)).toMatchObject({
      status: 'RUNNING',
      phase: null,
      readyAt: provenAt,
      containerId: 'f'.repeat(64),
      phasesMs: { scheduled: 100, pulling: 2000, starting: 300, probing: 450 },
    });
    const told = await market.value(
      `SELECT count(*) FROM "OutboxEvent" WHERE "subjectId" = $1 AND "type" = 'rental.pull_progress'`,
      [it.rental.id],
    );
    expect(told).toBe('1');
    const events = await it.renter.client.get<RentalEventPage>(`${it.path}/events`);
    expect(events.items.map(({ type, toStatus }) => `${type} ${toStatus}`)).toEqual([
      'created PROVISIONING',
      'instance_phase PROVISIONING',
      'instance_phase PROVISIONING',
      'instance_phase PROVISIONING',
      'proven_ready RUNNING',
    ]);
  });

  it("is proven at once by the evidence's own message, without any sweep", async () => {
    const it = await rentWhole(market);
    await it.node.say(it.rental, 'running');
    await it.node.probe(it.rental, true);
    await expect.poll(() => viewOf(it)).toMatchObject({ status: 'RUNNING' });
  });

  it('fails with its reason when the image cannot be had, and gives the money back', async () => {
    const it = await rentWhole(market);
    await it.node.say(it.rental, 'failed', { reason: 'image_not_found', message: 'manifest unknown' });
    expect(await viewOf(it)).toMatchObject({ status: 'FAILED', endReason: 'image_not_found' });
    await market.billing.settle();
    expect(await market.balanceOf(it.renter)).toMatchObject({ available: '100.000000', held: '0.000000' });
  });

  it('fails when a phase takes too long, but not in the first moments after the platform was away', async () => {
    const it = await rentWhole(market);
    await it.node.say(it.rental, 'creating');
    market.advance(3_600_000);
    await it.node.beat(market.nowMs());
    await market.sweeper.sweep();
    expect(await viewOf(it)).toMatchObject({ status: 'PROVISIONING' });
    for (let step = 0; step < 4; step += 1) {
      market.advance(10_000);
      await it.node.beat(market.nowMs());
    }
    await market.sweeper.sweep();
    expect(await viewOf(it)).toMatchObject({ status: 'FAILED', endReason: 'phase_timeout' });
  });
});

describe('reports of an agent', () => {
  it('change nothing when they come twice, late, or from an older session', async () => {
    const it = await rentWhole(market);
    const pulling = await it.node.reportOf(it.rental, 'pulling');
    const creating = await it.node.reportOf(it.rental, 'creating');
    const old = it.node.fence;
    await market.agents.applyReports(old, [pulling, creating, creating, pulling]);
    const events = () => market.value(`SELECT count(*) FROM "RentalEvent" WHERE "rentalId" = $1`, [it.rental.id]);
    expect(await events()).toBe('3');
    await it.node.reconnect();
    const starting = await it.node.reportOf(it.rental, 'starting');
    expect(await market.agents.applyReports(old, [starting])).toBe(false);
    expect(await viewOf(it)).toMatchObject({ phase: 'creating' });
    expect(await events()).toBe('3');
    expect(await market.agents.applyReports(it.node.fence, [starting])).toBe(true);
    expect(await viewOf(it)).toMatchObject({ phase: 'starting' });
  });

  it("say nothing about another node's rentals", async () => {
    const [mine, other] = [await rentWhole(market), await rentWhole(market)];
    const report = await mine.node.reportOf(mine.rental, 'failed', { reason: 'start_failed' });
    await market.agents.applyReports(other.node.fence, [report]);
    await market.agents.applyReports(other.node.fence, [{ ...report, placement_id: 'not-an-id' }]);
    expect(await viewOf(mine)).toMatchObject({ status: 'PROVISIONING' });
    expect(await market.agents.specFor(other.node.nodeId, report.placement_id, 'x')).toBeNull();
  });
});

describe('what an agent is told', () => {
  it('is a start with everything it needs, then the keys alone, then the stop', async () => {
    const it = await rentWhole(market, { env: { TOKEN: 'hunter2' }, ports: [8080] });
    const { nodeId } = it.node;
    const [start] = await market.agents.hintsSince(nodeId, 0);
    expect(start).toMatchObject({
      event: 'start_instance',
      data: {
        rental_id: it.rental.id,
        env_vars: { TOKEN: 'hunter2' },
        proxy_port_mapping: it.rental.connectionInfo?.ports,
        instance: { gen: 1, desired: 'running', ssh_keys: [SSH_KEY] },
        spec: { ssh_host_key: expect.stringContaining('OPENSSH PRIVATE KEY'), container_ports: [22, 8080] },
      },
    });
    const list = await market.agents.desiredList(nodeId);
    expect(list).toMatchObject({ frozen: false, items: [{ rental_id: it.rental.id, gen: 1, tunnels: [{}, {}] }] });
    const item = list?.items[0];
    const spec = await market.agents.specFor(nodeId, item?.placement_id ?? '', item?.spec_sha ?? '');
    expect(spec).toEqual(start?.event === 'start_instance' ? start.data.spec : null);

    await it.node.run(it.rental);
    const other = SSH_KEY.replace(/ me$/, ' other');
    await it.renter.client.patch(it.path, { sshPublicKeys: [other], label: 'new' });
    const keys = await market.agents.hintsSince(nodeId, list?.rev ?? 0);
    expect(keys).toMatchObject([{ event: 'update_ssh_keys', data: { gen: 2, ssh_keys: [other] } }]);
    expect((await market.agents.desiredList(nodeId))?.items).toMatchObject([{ gen: 2, spec_sha: item?.spec_sha }]);

    await it.renter.client.post(`${it.path}/stop`);
    const stop = await market.agents.hintsSince(nodeId, (list?.rev ?? 0) + 1);
    expect(stop).toMatchObject([
      { event: 'stop_instance', data: { gen: 3, desired: 'stopped', reason: 'renter_stopped' } },
    ]);
    await market.backend.db.query(`UPDATE "HostNode" SET "frozenAt" = now() WHERE "id" = $1`, [nodeId]);
    expect(await market.agents.hintsSince(nodeId, 0)).toEqual([]);
  });

  it('is how long to run alone: the offline grace, or the TTL when that ends before', async () => {
    const [ttl, free] = [await rentWhole(market, { ttlSeconds: 600 }), await rentWhole(market)];
    market.advance(100_000);
    expect(await market.agents.runUntil(ttl.node.nodeId)).toEqual([
      { rental_id: ttl.rental.id, remaining_ms: 500_000 },
    ]);
    expect(await market.agents.runUntil(free.node.nodeId)).toEqual([
      { rental_id: free.rental.id, remaining_ms: 21_600_000 },
    ]);
  });
});
