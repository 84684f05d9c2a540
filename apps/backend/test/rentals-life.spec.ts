import type { Problem, Rental, RentalEventPage, RentalPage } from '@dcompute/shared-types';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApiProblem } from './backend-app.js';
import { type Market, type Renter, SSH_KEY, type TestNode, openMarket, specsOf } from './market.js';

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market?.close());

interface Rented {
  readonly renter: Renter;
  readonly node: TestNode;
  readonly rental: Rental;
  readonly path: string;
}

/** A rental of the whole of a node of its own. */
async function rented(more: Parameters<Renter['rent']>[1] = {}, specs = specsOf()): Promise<Rented> {
  const [renter, node] = await Promise.all([market.renter(), market.node(specs)]);
  const offers = await market.offersOf(node);
  const whole = offers.toSorted((a, b) => b.cpuMillicores - a.cpuMillicores || b.gpuCount - a.gpuCount)[0];
  const rental = await renter.rent(whole?.id ?? '', more);
  return { renter, node, rental, path: `/api/v1/rentals/${rental.id}` };
}

const viewOf = ({ renter, path }: Rented) => renter.client.get<Rental>(path);

const codeOf = (error: unknown) => (error instanceof ApiProblem ? error.problem.code : String(error));

async function refusalOf(request: Promise<unknown>): Promise<string> {
  return await request.then(() => 'not refused', codeOf);
}

describe('who may see and change a rental', () => {
  it('is its account and, for reading, an operator; for anybody else it does not exist', async () => {
    const { rental, path } = await rented();
    const stranger = await market.renter();
    const { operator } = market;
    for (const request of [
      () => stranger.client.get(path),
      () => stranger.client.get(`${path}/events`),
      () => stranger.client.post(`${path}/stop`),
      () => stranger.client.post(`${path}/start`),
      () => stranger.client.delete(path),
      () => stranger.client.patch(path, { label: 'mine now' }),
      () => operator.client.delete(path),
    ]) {
      expect(await refusalOf(request())).toBe('resource.not_found');
    }
    expect((await operator.client.get<Rental>(path)).id).toBe(rental.id);
    const all = await operator.client.get<RentalPage>('/api/v1/rentals?renter=anyone&limit=200');
    expect(all.items.map(({ id }) => id)).toContain(rental.id);
    expect(await refusalOf(stranger.client.get('/api/v1/rentals?renter=anyone'))).toBe('auth.forbidden');
  });

  it('is decided by role and scope', async () => {
    const { node } = await rented();
    const host = await market.person('LEASE');
    const body = { offerId: node.nodeId, sshPublicKeys: [SSH_KEY] };
    expect(await refusalOf(host.client.post('/api/v1/rentals', body))).toBe('auth.role_forbidden');
    const renter = await market.renter();
    const key = await renter.client.post<{ secret: string }>('/api/v1/api-keys', { name: 'reader', scopes: ['read'] });
    const headers = { authorization: `Bearer ${key.secret}`, 'idempotency-key': 'k' };
    const answer = await market.backend.request<Problem>('POST', '/api/v1/rentals', { body, headers });
    expect(answer.body.code).toBe('auth.scope_missing');
  });
});

describe('the list of rentals', () => {
  it('has all of the account, newest first, over pages, and by state', async () => {
    const node = await market.node();
    const renter = await market.renter();
    const offer = (await market.offersOf(node))[0];
    const ids: string[] = [];
    for (let n = 0; n < 3; n += 1) {
      ids.unshift((await renter.rent(offer?.id ?? '')).id);
      market.advance(5);
    }
    const first = await renter.client.get<RentalPage>('/api/v1/rentals?limit=2');
    const second = await renter.client.get<RentalPage>(`/api/v1/rentals?limit=2&cursor=${first.nextCursor}`);
    expect([...first.items, ...second.items].map(({ id }) => id)).toEqual(ids);
    expect(second.nextCursor).toBeNull();
    await renter.client.delete(`/api/v1/rentals/${ids[0]}`);
    await node.say({ id: ids[0] ?? '' }, 'deleted');
    const ended = await renter.client.get<RentalPage>('/api/v1/rentals?state=ended');
    const active = await renter.client.get<RentalPage>('/api/v1/rentals?state=active');
    expect(ended.items.map(({ id }) => id)).toEqual([ids[0]]);
    expect(active.items.map(({ id }) => id)).toEqual(ids.slice(1));
  });
});

describe('a start', () => {
  it('is measured phase by phase on our clock, shows the pull, and ends with our own proof', async () => {
    const it = await rented();
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
    const it = await rented();
    await it.node.say(it.rental, 'running');
    await it.node.probe(it.rental, true);
    await expect.poll(() => viewOf(it)).toMatchObject({ status: 'RUNNING' });
  });

  it('fails with its reason when the image cannot be had, and gives the money back', async () => {
    const it = await rented();
    await it.node.say(it.rental, 'failed', { reason: 'image_not_found', message: 'manifest unknown' });
    expect(await viewOf(it)).toMatchObject({ status: 'FAILED', endReason: 'image_not_found' });
    await market.billing.settle();
    expect(await market.balanceOf(it.renter)).toMatchObject({ available: '100.000000', held: '0.000000' });
  });

  it('fails when a phase takes too long, but not in the first moments after the platform was away', async () => {
    const it = await rented();
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
    const it = await rented();
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
    const [mine, other] = [await rented(), await rented()];
    const report = await mine.node.reportOf(mine.rental, 'failed', { reason: 'start_failed' });
    await market.agents.applyReports(other.node.fence, [report]);
    await market.agents.applyReports(other.node.fence, [{ ...report, placement_id: 'not-an-id' }]);
    expect(await viewOf(mine)).toMatchObject({ status: 'PROVISIONING' });
    expect(await market.agents.specFor(other.node.nodeId, report.placement_id, 'x')).toBeNull();
  });
});

describe('what an agent is told', () => {
  it('is a start with everything it needs, then the keys alone, then the stop', async () => {
    const it = await rented({ env: { TOKEN: 'hunter2' }, ports: [8080] });
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
    const [ttl, free] = [await rented({ ttlSeconds: 600 }), await rented()];
    market.advance(100_000);
    expect(await market.agents.runUntil(ttl.node.nodeId)).toEqual([
      { rental_id: ttl.rental.id, remaining_ms: 500_000 },
    ]);
    expect(await market.agents.runUntil(free.node.nodeId)).toEqual([
      { rental_id: free.rental.id, remaining_ms: 21_600_000 },
    ]);
  });
});

describe('stop and start', () => {
  it('keep address, host key, disk and keys, and free what somebody else can use meanwhile', async () => {
    const it = await rented({ ports: [8080] });
    await it.node.run(it.rental);
    const stopping = await it.renter.client.post<Rental>(`${it.path}/stop`);
    expect(stopping).toMatchObject({ status: 'STOPPING', endReason: 'renter_stopped' });
    await it.node.say(it.rental, 'stopped');
    const capacity = () =>
      market.value(
        `SELECT concat_ws(' ', "freeCpuMillicores", "freeRamMib", "freeDiskGib") FROM "NodeCapacity" WHERE "nodeId" = $1`,
        [it.node.nodeId],
      );
    const { diskGib } = it.rental;
    expect(await capacity()).toBe(`4000 16384 ${2000 - diskGib}`);
    const started = await it.renter.client.post<Rental>(`${it.path}/start`);
    expect(started).toMatchObject({ status: 'PROVISIONING', phase: 'scheduled', endReason: null, readyAt: null });
    expect(started.connectionInfo).toEqual(it.rental.connectionInfo);
    expect(await capacity()).toBe(`0 ${16_384 - it.rental.ramMib} ${2000 - diskGib}`);
    await it.node.run(it.rental);
    expect(await viewOf(it)).toMatchObject({ status: 'RUNNING', id: it.rental.id });
    expect(await market.value(`SELECT "incarnation" FROM "Placement" WHERE "rentalId" = $1`, [it.rental.id])).toBe('1');
    expect(await market.brokenInvariants()).toEqual([]);
  });

  it('rental.capacity_taken: when somebody else has it now, and nothing is half done', async () => {
    const it = await rented();
    await it.node.run(it.rental);
    await it.renter.client.post(`${it.path}/stop`);
    await it.node.say(it.rental, 'stopped');
    const [small] = await market.offersOf(it.node);
    const other = await market.renter();
    await other.rent(small?.id ?? '');
    const before = await viewOf(it);
    const balance = await market.balanceOf(it.renter);
    expect(await refusalOf(it.renter.client.post(`${it.path}/start`))).toBe('rental.capacity_taken');
    expect(await viewOf(it)).toEqual(before);
    expect(await market.balanceOf(it.renter)).toEqual(balance);
    expect(await market.brokenInvariants()).toEqual([]);
  });

  it('frees GPUs once they are clean, and gives its own back to a renter who starts before that', async () => {
    const it = await rented({}, { ...specsOf(1), disk_gib: 20_000 });
    await it.node.run(it.rental);
    const uuid =
      (await market.value(`SELECT "gpuUuid" FROM "GpuAllocation" WHERE "rentalId" = $1`, [it.rental.id])) ?? '';
    const state = { uuid, memory_used_mib: 0, processes: 0, clean: true };
    await market.agents.applyGpuStates(it.node.fence, [state]);
    await it.renter.client.post(`${it.path}/stop`);
    await it.node.say(it.rental, 'stopped');
    expect(await market.offersOf(it.node)).toEqual([]);
    await it.renter.client.post(`${it.path}/start`);
    await it.renter.client.post(`${it.path}/stop`);
    await it.node.say(it.rental, 'stopped');
    await market.agents.applyGpuStates(it.node.fence, [{ ...state, clean: false }]);
    expect(await market.offersOf(it.node)).toEqual([]);
    await market.agents.applyGpuStates(it.node.fence, [state]);
    expect(await market.offersOf(it.node)).toHaveLength(1);
    const taker = await market.renter();
    await taker.rent((await market.offersOf(it.node))[0]?.id ?? '');
    expect(await refusalOf(it.renter.client.post(`${it.path}/start`))).toBe('rental.capacity_taken');
    expect(await market.brokenInvariants()).toEqual([]);
  });

  it('start is refused while the node is away, while it is still stopping, and without money', async () => {
    const it = await rented();
    await it.node.run(it.rental);
    await it.renter.client.post(`${it.path}/stop`);
    const start = () => refusalOf(it.renter.client.post(`${it.path}/start`));
    expect(await start()).toBe('rental.invalid_state');
    await it.node.say(it.rental, 'stopped');
    await market.backend.db.query(`UPDATE "HostNode" SET "status" = 'unreachable' WHERE "id" = $1`, [it.node.nodeId]);
    expect(await start()).toBe('node.not_connected');
    await market.backend.db.query(`UPDATE "HostNode" SET "status" = 'online' WHERE "id" = $1`, [it.node.nodeId]);
    await market.backend.db.query(`UPDATE "Rental" SET "moneyCap" = 0.01 WHERE "id" = $1`, [it.rental.id]);
    expect(await start()).toBe('rental.money_cap_too_low');
    expect(await viewOf(it)).toMatchObject({ status: 'STOPPED' });
  });

  it('are the same when asked twice; delete works from any state and frees everything', async () => {
    const it = await rented();
    await it.node.run(it.rental);
    await it.renter.client.post(`${it.path}/stop`);
    expect(await it.renter.client.post<Rental>(`${it.path}/stop`)).toMatchObject({ status: 'STOPPING' });
    const deleted = await it.renter.client.delete<Rental>(it.path);
    expect(deleted).toMatchObject({ status: 'STOPPING', endReason: 'renter_deleted' });
    expect(await it.renter.client.delete<Rental>(it.path)).toMatchObject({ status: 'STOPPING' });
    await it.node.say(it.rental, 'deleted');
    expect(await viewOf(it)).toMatchObject({ status: 'TERMINATED', endReason: 'renter_deleted' });
    expect(await refusalOf(it.renter.client.post(`${it.path}/start`))).toBe('rental.invalid_state');
    expect(await refusalOf(it.renter.client.patch(it.path, { label: 'late' }))).toBe('rental.invalid_state');
    expect(
      await market.value(`SELECT count(*) FROM "PortLease" WHERE "rentalId" = $1 AND "state" = 'live'`, [it.rental.id]),
    ).toBe('0');
    expect((await market.agents.desiredList(it.node.nodeId))?.items).toEqual([]);
    expect(await market.brokenInvariants()).toEqual([]);
  });
});

describe('what time decides', () => {
  it('deletes a rental when its TTL is over, whatever it is doing; a new TTL counts from now', async () => {
    const it = await rented({ ttlSeconds: 600 });
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
    const it = await rented();
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

  it('does not hold a silent node, or a silent guard, against the instance', async () => {
    const [silentNode, silentGuard] = [await rented(), await rented()];
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
    const [lost, kept] = [await rented(), await rented()];
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
    const it = await rented();
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
    const it = await rented();
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
