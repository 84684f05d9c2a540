import { randomUUID } from 'node:crypto';
import type { CreatedHostKey, HostKeyPage, HostNode, HostNodePage, PricingConfig } from '@dcompute/shared-types';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApiProblem } from './backend-app.js';
import { type Market, type TestNode, openMarket, specsOf } from './market.js';

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market?.close());

const refusalOf = (request: Promise<unknown>) =>
  request.then(
    () => 'not refused',
    (error: unknown) => (error instanceof ApiProblem ? error.problem.code : String(error)),
  );
const viewOf = (node: TestNode) => node.host.client.get<HostNode>(`/api/v1/nodes/${node.nodeId}`);
const auditsOf = async (subjectId: string): Promise<string[]> => {
  const { rows } = await market.backend.db.query<{ action: string }>(
    `SELECT "action" FROM "AuditRow" WHERE "subjectId" = $1 ORDER BY "id"`,
    [subjectId],
  );
  return rows.map((row) => row.action);
};

describe('a host key', () => {
  it('shows its secret once, is stored as a hash, and the same idempotency key gives the same one', async () => {
    const { client } = await market.backend.signUp('LEASE');
    const key = randomUUID();
    const created = await client.post<CreatedHostKey>('/api/v1/host-keys', { name: 'rack 1' }, key);
    expect(await client.post('/api/v1/host-keys', { name: 'rack 1' }, key)).toEqual(created);
    expect(await refusalOf(client.post('/api/v1/host-keys', { name: 'rack 2' }, key))).toBe('idempotency.key_reused');
    expect(created.secret).toMatch(/^dhk_/);
    const { items } = await client.get<HostKeyPage>('/api/v1/host-keys');
    expect(items).toMatchObject([{ id: created.id, name: 'rack 1', nodeId: null, revokedAt: null }]);
    const stored = await market.value(`SELECT row_to_json(k)::text FROM "HostKey" k WHERE "id" = $1`, [created.id]);
    expect(JSON.stringify(items) + stored).not.toContain(created.secret.slice(created.prefix.length));
    expect(await auditsOf(created.id)).toEqual(['host_key.create']);
  });

  it('is for accounts that provide nodes: a renter is refused, and may still revoke', async () => {
    const { client } = await market.backend.signUp('RENT');
    expect(await refusalOf(client.post('/api/v1/host-keys', { name: 'x' }))).toBe('auth.role_forbidden');
    await client.patch('/api/v1/me', { role: 'BOTH' });
    const { id } = await client.post<CreatedHostKey>('/api/v1/host-keys', { name: 'x' });
    await client.patch('/api/v1/me', { role: 'RENT' });
    await client.delete(`/api/v1/host-keys/${id}`);
    await client.delete(`/api/v1/host-keys/${id}`);
    expect(await auditsOf(id)).toEqual(['host_key.create', 'host_key.revoke']);
  });

  it('lists come in pages that neither repeat nor skip', async () => {
    const { client } = await market.backend.signUp('LEASE');
    for (let n = 0; n < 5; n += 1) await client.post('/api/v1/host-keys', { name: `key ${n}` });
    const names: string[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const page: HostKeyPage = await client.get(`/api/v1/host-keys?limit=2${cursor && `&cursor=${cursor}`}`);
      names.push(...page.items.map((item) => item.name));
      cursor = page.nextCursor;
    }
    expect(names.toSorted()).toEqual(['key 0', 'key 1', 'key 2', 'key 3', 'key 4']);
  });
});

describe('a node', () => {
  it("is its owner's and, for reading, an operator's; for anybody else it does not exist", async () => {
    const node = await market.node();
    const stranger = await market.backend.signUp('LEASE');
    const operator = await market.backend.operator();
    const path = `/api/v1/nodes/${node.nodeId}`;
    const refused = await Promise.all(
      [
        stranger.client.get(path),
        stranger.client.patch(path, { name: 'mine' }),
        stranger.client.post(`${path}/drain`),
      ].map(refusalOf),
    );
    expect(new Set(refused)).toEqual(new Set(['resource.not_found']));
    expect(await refusalOf(node.host.client.post(`${path}/confirm`))).toBe('auth.forbidden');
    expect(await operator.client.get(path)).toMatchObject({ id: node.nodeId });
    expect((await stranger.client.get<HostNodePage>('/api/v1/nodes')).items).toEqual([]);
    expect((await node.host.client.get<HostNodePage>('/api/v1/nodes')).items).toMatchObject([{ id: node.nodeId }]);
  });

  it('has offers from its first moment on, at default prices, and changed prices change them at once', async () => {
    const node = await market.node(specsOf(0, 2));
    const before = await market.offersOf(node);
    expect(before.length).toBeGreaterThan(0);
    const { pricingConfig } = await viewOf(node);
    const dearer: PricingConfig = { ...pricingConfig, cpuCorePerHour: '2.000000' };
    await node.host.client.patch(`/api/v1/nodes/${node.nodeId}`, { pricingConfig: dearer, name: 'renamed' });
    expect((await market.offersOf(node)).map(({ id, pricePerHour }) => ({ id, pricePerHour }))).toEqual(
      before.map(({ id, cpuMillicores }) => ({ id, pricePerHour: ((cpuMillicores * 2) / 1000).toFixed(6) })),
    );
    expect(await viewOf(node)).toMatchObject({ name: 'renamed', pricingConfig: dearer });
    expect(await auditsOf(node.nodeId)).toEqual(['node.enrol', 'node.update', 'node.update']);
  });

  it('takes the highest price for everything it may have, and refuses a higher one', async () => {
    const most = 2 ** 17;
    const node = await market.node({ ...specsOf(32, 4096), ram_mib: most * 1024, disk_gib: 8_388_608 });
    const { pricingConfig } = await viewOf(node);
    const all = (price: string) => Object.fromEntries(Object.keys(pricingConfig).map((part) => [part, price]));
    const change = (price: string) =>
      node.host.client.patch<HostNode>(`/api/v1/nodes/${node.nodeId}`, { pricingConfig: all(price) });
    expect((await change('999999.999999')).pricingConfig.gpuPerHour).toBe('999999.999999');
    expect(await market.offersOf(node)).toHaveLength(6);
    expect(await refusalOf(change('1000000'))).toBe('request.invalid');
  });

  it('that shrinks keeps what is rented and has never less than nothing free', async () => {
    const [renter, node] = await Promise.all([market.renter(), market.node(specsOf(0, 4))]);
    const [smallest] = await market.offersOf(node);
    const rental = await renter.rent(smallest?.id ?? '');
    await node.reconnect({ ...specsOf(0, 4), ram_mib: rental.ramMib + 1024, disk_gib: 1 });
    expect((await viewOf(node)).capacity).toMatchObject({
      totalRamMib: rental.ramMib + 1024,
      freeRamMib: 1024,
      totalDiskGib: 1,
      freeDiskGib: 0,
      freeCpuMillicores: 4000 - rental.cpuMillicores,
    });
    expect(await market.brokenInvariants()).toEqual([]);
  });

  it('whose GPU is gone offers fewer, and the GPU is rentable again when it is back', async () => {
    const specs = specsOf(2);
    const node = await market.node(specs);
    const counts = async () => (await market.offersOf(node)).map((offer) => offer.gpuCount).toSorted((a, b) => a - b);
    expect(await counts()).toEqual([1, 2]);
    await node.reconnect({ ...specs, gpus: specs.gpus.slice(1) });
    expect(await counts()).toEqual([1]);
    await node.reconnect(specs);
    expect(await counts()).toEqual([1, 2]);
  });

  it('without a firewall is rentable by its owner only', async () => {
    const node = await market.node({ ...specsOf(), firewall: false });
    expect(await viewOf(node)).toMatchObject({ rentableByOwnerOnly: true });
    expect(await market.offersOf(node)).toEqual([]);
    const own = await node.host.client.get<{ items: unknown[] }>(`/api/v1/offers?nodeId=${node.nodeId}`);
    expect(own.items.length).toBeGreaterThan(0);
  });
});
