import { randomUUID } from 'node:crypto';
import type { Problem, Rental } from '@dcompute/shared-types';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiResponse } from './backend-app.js';
import { GPU, type Market, type Renter, SSH_KEY, type TestNode, openMarket, specsOf } from './market.js';
import { until } from './until.js';

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market?.close());

const RENTALS = '/api/v1/rentals';

/** A rental, or why there is none. */
type Answer = Partial<Omit<Rental, 'status'> & Omit<Problem, 'status'>>;

/** Asks for a rental, whatever the answer. */
async function ask(renter: Renter, body: object, key = randomUUID()): Promise<ApiResponse<Answer>> {
  const headers = { 'idempotency-key': key };
  return await renter.client.request('POST', RENTALS, { body: { sshPublicKeys: [SSH_KEY], ...body }, headers });
}

/** The cheapest offer of a node. */
async function offerOf(node: TestNode) {
  const [offer] = await market.offersOf(node);
  if (!offer) throw new Error('the node has no offer');
  return offer;
}

/** How many statements of this database wait for a lock. */
async function waitingForRows(): Promise<number> {
  await market.value('SELECT pg_stat_clear_snapshot()');
  const waiting = await market.value(
    `SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a ON a."pid" = l."pid"
      WHERE a."datname" = current_database() AND NOT l."granted"`,
  );
  return Number(waiting);
}

/** What a refusal must not leave behind. */
async function leftovers(node: TestNode, renter: Renter) {
  return {
    allocations: await market.value(`SELECT count(*) FROM "CapacityAllocation" WHERE "nodeId" = $1`, [node.nodeId]),
    gpus: await market.value(`SELECT count(*) FROM "GpuAllocation" WHERE "nodeId" = $1`, [node.nodeId]),
    leases: await market.value(`SELECT count(*) FROM "PortLease" WHERE "nodeId" = $1`, [node.nodeId]),
    rentals: await market.value(`SELECT count(*) FROM "Rental" WHERE "nodeId" = $1`, [node.nodeId]),
    taken: await market.value(
      `SELECT "totalCpuMillicores" - "freeCpuMillicores" + "totalRamMib" - "freeRamMib" + "totalDiskGib" - "freeDiskGib"
         FROM "NodeCapacity" WHERE "nodeId" = $1`,
      [node.nodeId],
    ),
    held: (await market.balanceOf(renter)).held,
  };
}
const NOTHING = { allocations: '0', gpus: '0', leases: '0', rentals: '0', taken: '0', held: '0.000000' };

describe('renting', () => {
  it('takes the slice, leases the ports, holds the first minutes and shows where to connect', async () => {
    const [renter, node] = await Promise.all([market.renter(), market.node()]);
    const offer = await offerOf(node);
    const rental = await renter.rent(offer.id, {
      ports: [8080],
      env: { SECRET: 'hunter2' },
      label: 'mine',
      ttlSeconds: 600,
    });
    expect(rental).toMatchObject({
      renterId: renter.user.id,
      nodeId: node.nodeId,
      offerId: offer.id,
      status: 'PROVISIONING',
      phase: 'scheduled',
      label: 'mine',
      costPerHour: '1.000000',
      chargedTotal: '0.000000',
      containerPorts: [22, 8080],
      ttlExpiresAt: new Date(market.nowMs() + 600_000).toISOString(),
      connectionInfo: { host: 'proxy.example.com', ports: { 22: expect.any(Number), 8080: expect.any(Number) } },
    });
    expect(rental.connectionInfo?.sshHostKeyFingerprint).toMatch(/^SHA256:/);
    expect(await market.balanceOf(renter)).toMatchObject({ available: '99.833334', held: '0.166666' });
    expect(await market.brokenInvariants()).toEqual([]);
  });

  it('shows no secret in any view, event or stored answer', async () => {
    const [renter, node] = await Promise.all([market.renter(), market.node()]);
    const registryAuth = { server: 'registry.example.com', username: 'me', password: 'sesame' };
    const rental = await renter.rent((await offerOf(node)).id, { env: { TOKEN: 'hunter2' }, registryAuth });
    const path = `${RENTALS}/${rental.id}`;
    const views = [rental, await renter.client.get(path), await renter.client.get(`${path}/events`)];
    const rows = await market.backend.db.query(
      `SELECT to_jsonb(r) FROM "Rental" r UNION ALL SELECT to_jsonb(p) FROM "Placement" p
        UNION ALL SELECT to_jsonb(k) FROM "IdempotencyKey" k UNION ALL SELECT to_jsonb(o) FROM "OutboxEvent" o
        UNION ALL SELECT to_jsonb(a) FROM "AuditRow" a UNION ALL SELECT to_jsonb(e) FROM "RentalEvent" e`,
    );
    const text = JSON.stringify([views, rows.rows]);
    expect(text).not.toMatch(/hunter2|sesame|PRIVATE KEY/);
  });

  it('writes who did it, with the address and the API key, in the same transaction', async () => {
    const [renter, node] = await Promise.all([market.renter(), market.node()]);
    const rental = await renter.rent((await offerOf(node)).id);
    const { rows } = await market.backend.db.query(
      `SELECT "actorId", "accountId", "ip" FROM "AuditRow" WHERE "action" = 'rental.create' AND "subjectId" = $1`,
      [rental.id],
    );
    expect(rows).toEqual([{ actorId: renter.user.id, accountId: renter.user.id, ip: '127.0.0.1' }]);
  });

  it('gives 50 renters of one GPU one rental and 49 refusals', async () => {
    const node = await market.node(specsOf(1), { gpuPerHour: '1' });
    const renters = await Promise.all(Array.from({ length: 5 }, () => market.renter()));
    const { id: offerId } = await offerOf(node);
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) => ask(renters[index % renters.length] as Renter, { offerId })),
    );
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ body }) => body.code === 'offer.unavailable')).toHaveLength(49);
    expect(await market.value(`SELECT count(*) FROM "GpuAllocation" WHERE "nodeId" = $1`, [node.nodeId])).toBe('1');
    expect(await market.brokenInvariants()).toEqual([]);
  });

  it('never gives away more CPU than a node has, however many ask at once', async () => {
    const node = await market.node(specsOf(0, 4));
    const renters = await Promise.all(Array.from({ length: 5 }, () => market.renter()));
    const offers = await market.offersOf(node);
    expect(offers.map((offer) => offer.cpuMillicores)).toEqual([1000, 2000, 4000]);
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, index) =>
        ask(renters[index % renters.length] as Renter, { offerId: offers[index % 2]?.id }),
      ),
    );
    const rented = answers.filter(({ status }) => status === 201).map(({ body }) => body.cpuMillicores ?? 0);
    expect(rented.reduce((sum, cpu) => sum + cpu, 0)).toBeLessThanOrEqual(4000);
    expect(rented.length).toBeGreaterThanOrEqual(2);
    expect(new Set(answers.map(({ status, body }) => (status === 201 ? 'rented' : body.code)))).toEqual(
      new Set(['rented', 'offer.unavailable']),
    );
    expect(await market.brokenInvariants()).toEqual([]);
  });

  it('hides an offer once its capacity is gone, and shows it again when it is back', async () => {
    const [renter, node] = await Promise.all([market.renter(), market.node()]);
    const whole = (await market.offersOf(node)).find((offer) => offer.cpuMillicores === 4000);
    const rental = await renter.rent(whole?.id ?? '');
    expect(await market.offersOf(node)).toEqual([]);
    await renter.client.delete(`${RENTALS}/${rental.id}`);
    expect(await market.offersOf(node)).toEqual([]);
    await node.say(rental, 'deleted');
    expect(await market.offersOf(node)).toHaveLength(3);
  });
});

describe('one Idempotency-Key', () => {
  it('gives one rental when the same request comes twice at once, and the same answer later', async () => {
    const [renter, node] = await Promise.all([market.renter(), market.node()]);
    const { id: offerId } = await offerOf(node);
    const key = randomUUID();
    const answers = await Promise.all(Array.from({ length: 6 }, () => ask(renter, { offerId }, key)));
    const created = answers.filter(({ status }) => status === 201);
    const busy = answers.filter(({ status }) => status === 409);
    expect(created.length).toBeGreaterThanOrEqual(1);
    expect(created.length + busy.length).toBe(6);
    for (const { body, headers } of busy) {
      expect(body.code).toBe('idempotency.in_progress');
      expect(headers.get('retry-after')).toBe('1');
    }
    const again = await ask(renter, { offerId }, key);
    expect(new Set([...created, again].map(({ body }) => body.id)).size).toBe(1);
    expect(await market.value(`SELECT count(*) FROM "Rental" WHERE "nodeId" = $1`, [node.nodeId])).toBe('1');
  });

  it('is needed, and belongs to one body', async () => {
    const [renter, node] = await Promise.all([market.renter(), market.node()]);
    const { id: offerId } = await offerOf(node);
    const body = { offerId, sshPublicKeys: [SSH_KEY] };
    const without = await renter.client.request<Problem>('POST', RENTALS, { body });
    expect(without.body.code).toBe('idempotency.key_required');
    const key = randomUUID();
    await ask(renter, { offerId }, key);
    expect((await ask(renter, { offerId, label: 'other' }, key)).body.code).toBe('idempotency.key_reused');
  });

  it('is free again after a refusal: the same request may succeed later', async () => {
    const [renter, node] = await Promise.all([market.renter('0'), market.node()]);
    const { id: offerId } = await offerOf(node);
    const key = randomUUID();
    expect((await ask(renter, { offerId }, key)).body.code).toBe('rental.insufficient_funds');
    await market.grant(renter, '5');
    expect((await ask(renter, { offerId }, key)).status).toBe(201);
  });
});

describe('a refusal leaves nothing behind', () => {
  const refusals: [code: string, money: string, body: object][] = [
    ['rental.insufficient_funds', '0.1', {}],
    ['rental.money_cap_too_low', '100', { moneyCap: '0.01' }],
    ['rental.ssh_key_required', '100', { sshPublicKeys: [] }],
    ['rental.run_type_unsupported', '100', { runType: 'jupyter' }],
    ['resource.not_found', '100', { sshKeyIds: [randomUUID()] }],
    ['resource.not_found', '100', { offerId: randomUUID() }],
  ];
  it.each(refusals)('%s (balance %s, %o)', async (code, money, body) => {
    const [renter, node] = await Promise.all([market.renter(money), market.node()]);
    const answer = await ask(renter, { offerId: (await offerOf(node)).id, ...body });
    expect(answer.body.code).toBe(code);
    expect(await leftovers(node, renter)).toEqual(NOTHING);
  });

  it('says how much money is missing', async () => {
    const [renter, node] = await Promise.all([market.renter('0.1'), market.node()]);
    const { status, body } = await ask(renter, { offerId: (await offerOf(node)).id });
    expect(status).toBe(402);
    expect(body.detail).toContain('0.066666 dollars more');
  });

  it('offer.unavailable: while the node is draining, silent or frozen', async () => {
    const [renter, node] = await Promise.all([market.renter(), market.node()]);
    const { id: offerId } = await offerOf(node);
    for (const state of [`"draining" = true`, `"status" = 'suspect'`, `"frozenAt" = now()`]) {
      await market.backend.db.query(`UPDATE "HostNode" SET ${state} WHERE "id" = $1`, [node.nodeId]);
      expect((await ask(renter, { offerId })).body.code).toBe('offer.unavailable');
      await market.backend.db.query(
        `UPDATE "HostNode" SET "draining" = false, "status" = 'online', "frozenAt" = NULL WHERE "id" = $1`,
        [node.nodeId],
      );
    }
    expect(await leftovers(node, renter)).toEqual(NOTHING);
    expect((await ask(renter, { offerId })).status).toBe(201);
  });

  it('offer.unavailable: also when the node begins to drain while a rent waits for it', async () => {
    const [renter, node] = await Promise.all([market.renter(), market.node()]);
    const offer = await offerOf(node);
    const before = await leftovers(node, renter);
    const { db } = market.backend;
    await db.query('BEGIN');
    await db.query(`SELECT FROM "NodeCapacity" WHERE "nodeId" = $1 FOR UPDATE`, [node.nodeId]);
    const answer = ask(renter, { offerId: offer.id });
    await until('the rent to wait', async () => (await waitingForRows()) > 0);
    await db.query(`UPDATE "HostNode" SET "draining" = true WHERE "id" = $1`, [node.nodeId]);
    await db.query('COMMIT');
    expect((await answer).body.code).toBe('offer.unavailable');
    expect(await leftovers(node, renter)).toEqual(before);
  });

  it('rental.no_port_free: when the proxy server has too few ports', async () => {
    const [renter, node] = await Promise.all([market.renter(), market.node()]);
    await market.backend.db.query(`UPDATE "ProxyServer" SET "portEnd" = "portStart"`);
    const answer = await ask(renter, { offerId: (await offerOf(node)).id, ports: [80, 81] });
    await market.backend.db.query(`UPDATE "ProxyServer" SET "portEnd" = "portStart" + 999`);
    expect(answer.body.code).toBe('rental.no_port_free');
    expect(await leftovers(node, renter)).toEqual(NOTHING);
  });

  it('balances never go below zero when one renter spends the last money many times at once', async () => {
    const node = await market.node(specsOf(4, 8), { gpuPerHour: '1', cpuCorePerHour: '0' });
    const renter = await market.renter('0.4');
    const one = (await market.offersOf(node)).find((offer) => offer.gpuModel === GPU && offer.gpuCount === 1);
    const answers = await Promise.all(Array.from({ length: 8 }, () => ask(renter, { offerId: one?.id })));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(2);
    expect(answers.filter(({ body }) => body.code === 'rental.insufficient_funds')).toHaveLength(6);
    expect(await market.brokenInvariants()).toEqual([]);
  });
});
