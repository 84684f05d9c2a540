import type { Problem, Rental, RentalPage } from '@dcompute/shared-types';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Market, SSH_KEY, openMarket, specsOf } from './market.js';
import { refusalOf, rentWhole, viewOf } from './rented.js';

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market?.close());

describe('who may see and change a rental', () => {
  it('is its account and, for reading, an operator; for anybody else it does not exist', async () => {
    const { rental, path } = await rentWhole(market);
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
    const { node } = await rentWhole(market);
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

describe('stop and start', () => {
  it('keep address, host key, disk and keys, and free what somebody else can use meanwhile', async () => {
    const it = await rentWhole(market, { ports: [8080] });
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
    const it = await rentWhole(market);
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
    const it = await rentWhole(market, {}, { ...specsOf(1), disk_gib: 20_000 });
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
    const it = await rentWhole(market);
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
    const it = await rentWhole(market);
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
