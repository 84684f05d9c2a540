import { createHash } from 'node:crypto';
import { GuardSync } from '@dcompute/shared-types';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Bus, Database } from '../src/infra/index.js';
import { TunnelsService } from '../src/modules/tunnels/index.js';
import { type BackendApp, startBackend } from './backend-app.js';
import { fillProxyServer, proxyEnvironment, proxySeed, seedNode, seedRental } from './tunnel-seed.js';

const first = proxySeed();
const second = proxySeed({ portStart: 30_000, portEnd: 30_009 });
let backend: BackendApp;
let tunnels: TunnelsService;
let database: Database;

beforeAll(async () => {
  backend = await startBackend({ ...proxyEnvironment([first, second]), PORT_REST_MS: '0' });
  tunnels = backend.app.get(TunnelsService);
  database = backend.app.get(Database);
});
afterAll(() => backend?.close());

const newRental = async () => await seedRental(backend.db, await seedNode(backend.db));
const lease = async (rental: { rentalId: string; nodeId: string }, containerPorts = [22]) =>
  await database.transaction((tx) => tunnels.leasePorts(tx, { ...rental, containerPorts }));
const revoke = async (rentalId: string) => await database.transaction((tx) => tunnels.revokeLeases(tx, rentalId));
const guardOf = (proxy: { credential: string }) => ({ authorization: `Bearer ${proxy.credential}` });
const sync = async (proxy: { credential: string }, sinceRev: number, waitMs = 0) => {
  const path = `/internal/guard/v1/leases?sinceRev=${sinceRev}&waitMs=${waitMs}`;
  const { status, body } = await backend.request('GET', path, { headers: guardOf(proxy) });
  expect(status).toBe(200);
  return GuardSync.parse(body);
};
const proxyOf = (id: string) => (id === first.id ? first : second);

describe('leases', () => {
  it('are ports of one enabled proxy server, each on its own, and show as tunnels', async () => {
    const rental = await newRental();
    const leased = await lease(rental, [22, 8080, 8888]);
    const proxy = proxyOf(leased.proxyServerId);
    expect(leased.host).toBe('127.0.0.1');
    expect(leased.leases.map((one) => one.containerPort).toSorted((a, b) => a - b)).toEqual([22, 8080, 8888]);
    expect(new Set(leased.leases.map((one) => one.port)).size).toBe(3);
    expect(leased.leases.every(({ port }) => port >= proxy.portStart && port <= proxy.portEnd)).toBe(true);
    const found = (await tunnels.tunnelsOf(database, [rental.rentalId])).get(rental.rentalId);
    expect(found?.map((tunnel) => tunnel.container_port)).toEqual([22, 8080, 8888]);
    expect(found?.[0]).toEqual({
      proxy_server_id: leased.proxyServerId,
      proxy_name: `dc-${rental.rentalId}-22`,
      type: 'tcp',
      container_port: 22,
      remote_port: leased.leases.find((one) => one.containerPort === 22)?.port,
    });
  });

  it('of many rentals at once never share a port', async () => {
    const rentals: Awaited<ReturnType<typeof newRental>>[] = [];
    while (rentals.length < 20) rentals.push(await newRental());
    const all = await Promise.all(rentals.map((rental) => lease(rental, [22, 80])));
    const ports = all.flatMap((one) => one.leases.map(({ port }) => `${one.proxyServerId}:${port}`));
    expect(new Set(ports).size).toBe(40);
    await Promise.all(rentals.map((rental) => revoke(rental.rentalId)));
  });

  it('of a rolled back transaction were never there', async () => {
    const rental = await newRental();
    const failing = database.transaction(async (tx) => {
      await tunnels.leasePorts(tx, { ...rental, containerPorts: [22] });
      throw new Error('later failure');
    });
    await expect(failing).rejects.toThrow('later failure');
    expect((await tunnels.tunnelsOf(database, [rental.rentalId])).size).toBe(0);
  });

  it('end once, and are tunnels no more', async () => {
    const rental = await newRental();
    const { proxyServerId } = await lease(rental);
    const before = await sync(proxyOf(proxyServerId), 0);
    await revoke(rental.rentalId);
    await revoke(rental.rentalId);
    expect((await tunnels.tunnelsOf(database, [rental.rentalId])).size).toBe(0);
    const changes = await sync(proxyOf(proxyServerId), before.rev);
    expect(changes.rev).toBe(before.rev + 1);
    expect(changes.leases.map((one) => [one.rentalId, one.state])).toEqual([[rental.rentalId, 'revoked']]);
  });
});

describe('a proxy server that is full', () => {
  it('is passed over, and only when none has room the rental is refused', async () => {
    const small = proxySeed({ portStart: 40_000, portEnd: 40_004 });
    const app = await startBackend({ ...proxyEnvironment([small]), PORT_REST_MS: '0' });
    try {
      const owner = await seedRental(app.db, await seedNode(app.db));
      await fillProxyServer(app.db, small, owner, 1);
      const service = app.app.get(TunnelsService);
      const db = app.app.get(Database);
      const take = (ports: number[]) =>
        db.transaction((tx) => service.leasePorts(tx, { ...owner, containerPorts: ports }));
      await expect(take([22, 80])).rejects.toMatchObject({ code: 'rental.no_port_free' });
      expect((await take([22])).leases).toEqual([{ containerPort: 22, port: 40_004 }]);
      await expect(take([80])).rejects.toMatchObject({ code: 'rental.no_port_free' });
    } finally {
      await app.close();
    }
  });

  it('gets ports back only after its guard saw them closed and they rested', async () => {
    const small = proxySeed({ portStart: 41_000, portEnd: 41_000 });
    const app = await startBackend({ ...proxyEnvironment([small]), PORT_REST_MS: '0' });
    try {
      const rental = await seedRental(app.db, await seedNode(app.db));
      const other = await seedRental(app.db, rental.nodeId);
      const service = app.app.get(TunnelsService);
      const db = app.app.get(Database);
      const take = (rentalId: string) =>
        db.transaction((tx) => service.leasePorts(tx, { rentalId, nodeId: rental.nodeId, containerPorts: [22] }));
      const { body } = await takeAndRevoke();
      await expect(take(other.rentalId)).rejects.toMatchObject({ code: 'rental.no_port_free' });
      const leaseIds = GuardSync.parse(body).leases.map((one) => one.leaseId);
      const headers = guardOf(small);
      const closed = await app.request('POST', '/internal/guard/v1/closed', { headers, body: { leaseIds } });
      expect(closed.status).toBe(204);
      expect((await take(other.rentalId)).leases[0]?.port).toBe(41_000);

      async function takeAndRevoke() {
        await take(rental.rentalId);
        await db.transaction((tx) => service.revokeLeases(tx, rental.rentalId));
        return await app.request('GET', '/internal/guard/v1/leases?sinceRev=0', { headers: guardOf(small) });
      }
    } finally {
      await app.close();
    }
  });
});

describe('a node', () => {
  it('gets one tunnel token, made at first use, of which guards see the hash', async () => {
    const nodeId = await seedNode(backend.db);
    const [one, two] = await Promise.all([tunnels.accessFor(nodeId), tunnels.accessFor(nodeId)]);
    expect(one).toEqual(two);
    expect(one.map((access) => access.id).toSorted()).toEqual([first.id, second.id].toSorted());
    const access = one.find(({ id }) => id === first.id);
    expect(access).toMatchObject({
      host: '127.0.0.1',
      bind_port: first.bindPort,
      server_name: first.serverName,
      ca_pem: first.caPem,
      auth_token: first.authToken,
    });
    const token = access?.node_token ?? '';
    const { nodes } = await sync(first, 0);
    expect(nodes).toContainEqual({ nodeId, tunnelTokenHash: createHash('sha256').update(token).digest('hex') });
  });

  it('that is evicted gets nothing more, and every guard is told', async () => {
    const nodeId = await seedNode(backend.db);
    await tunnels.accessFor(nodeId);
    const { rev } = await sync(first, 0);
    await database.transaction(async (tx) => {
      await tx.query('UPDATE "HostNode" SET "evictedAt" = now() WHERE "id" = $1', [nodeId]);
      await tunnels.announceNode(tx, nodeId);
    });
    expect(await tunnels.accessFor(nodeId)).toEqual([]);
    expect((await sync(first, rev)).nodes).toEqual([{ nodeId, tunnelTokenHash: null }]);
    expect((await sync(second, 1)).nodes).toContainEqual({ nodeId, tunnelTokenHash: null });
  });

  it('that does not exist gets nothing', async () => {
    expect(await tunnels.accessFor('99999999-9999-4999-8999-999999999999')).toEqual([]);
  });
});

describe('what guards ask', () => {
  it.each([
    ['no credential', {}],
    ['a wrong credential', { authorization: 'Bearer aaaaaaaaaaaaaaaaaaaaaaaa' }],
    ['a basic credential', { authorization: `Basic ${first.credential}` }],
  ])('is refused with %s', async (_what, headers) => {
    for (const [method, path] of [
      ['GET', 'leases?sinceRev=0'],
      ['POST', 'probes'],
      ['POST', 'closed'],
    ] as const) {
      const { status } = await backend.request(method, `/internal/guard/v1/${path}`, {
        headers,
        ...(method === 'POST' ? { body: { probes: [], leaseIds: [] } } : {}),
      });
      expect(status).toBe(401);
    }
  });

  it('is refused with the session of an operator', async () => {
    const { client } = await backend.operator();
    expect((await client.request('GET', '/internal/guard/v1/leases?sinceRev=0')).status).toBe(401);
  });

  it('waits for a change and hears of it at once', async () => {
    const rental = await newRental();
    const proxy = await findProxyOf(rental);
    const { rev } = await sync(proxy, 0);
    const waiting = sync(proxy, rev, 20_000);
    const subscribed = performance.now();
    const [changes] = await Promise.all([waiting, revoke(rental.rentalId)]);
    expect(changes.leases.map((one) => one.state)).toEqual(['revoked']);
    expect(performance.now() - subscribed).toBeLessThan(5_000);
  });

  it('waits no longer than asked for, and then has nothing new', async () => {
    const { rev } = await sync(first, 0);
    expect(await sync(first, rev, 50)).toEqual({ rev, full: false, leases: [], nodes: [] });
  });

  it('is about its own proxy server only', async () => {
    const rental = await newRental();
    const mine = await findProxyOf(rental);
    const other = mine === first ? second : first;
    const { leases } = await sync(mine, 0);
    const leaseId = leases.find((one) => one.rentalId === rental.rentalId)?.leaseId;
    expect((await sync(other, 0)).leases.some((one) => one.leaseId === leaseId)).toBe(false);
    await revoke(rental.rentalId);
    await backend.request('POST', '/internal/guard/v1/closed', {
      headers: guardOf(other),
      body: { leaseIds: [leaseId] },
    });
    expect(await stateOf(leaseId)).toBe('revoked');
  });

  it('is everything again when it knows more than the platform (a restored database)', async () => {
    const { rev } = await sync(first, 0);
    const answer = await sync(first, rev + 1_000);
    expect({ full: answer.full, rev: answer.rev }).toEqual({ full: true, rev });
  });

  it('names the host key of SSH ports only', async () => {
    const rental = await newRental();
    const { proxyServerId } = await lease(rental, [22, 80]);
    const { leases } = await sync(proxyOf(proxyServerId), 0);
    const own = leases.filter((one) => one.rentalId === rental.rentalId);
    expect(own.find((one) => one.containerPort === 22)?.sshHostKeyFingerprint).toBe(rental.hostKey.fingerprint);
    expect(own.find((one) => one.containerPort === 80)?.sshHostKeyFingerprint).toBeNull();
    await revoke(rental.rentalId);
  });

  it('includes probes, which become evidence', async () => {
    const rental = await newRental();
    const proxy = await findProxyOf(rental);
    const { leases } = await sync(proxy, 0);
    const leaseId = leases.find((one) => one.rentalId === rental.rentalId)?.leaseId;
    const heard = new Promise<readonly string[]>((resolve) =>
      backend.app.get(Bus).subscribe('metering.evidence', (message) => resolve(message.rentalIds)),
    );
    const probes = [{ leaseId, rentalId: rental.rentalId, at: new Date().toISOString(), ok: true, durationMs: 3 }];
    const { status } = await backend.request('POST', '/internal/guard/v1/probes', {
      headers: guardOf(proxy),
      body: { probes },
    });
    expect(status).toBe(204);
    expect(await heard).toEqual([rental.rentalId]);
  });

  async function findProxyOf(rental: { rentalId: string; nodeId: string }) {
    return proxyOf((await lease(rental)).proxyServerId);
  }

  async function stateOf(leaseId: string | undefined): Promise<string | undefined> {
    const { rows } = await backend.db.query<{ state: string }>('SELECT "state" FROM "PortLease" WHERE "id" = $1', [
      leaseId,
    ]);
    return rows[0]?.state;
  }
});

describe('a backend that starts again', () => {
  it('takes changed facts and credentials of its proxy servers over and keeps their leases', async () => {
    const app = await startBackend(proxyEnvironment([first]));
    try {
      const rental = await seedRental(app.db, await seedNode(app.db));
      const request = { ...rental, containerPorts: [22] };
      await app.app.get(Database).transaction((tx) => app.app.get(TunnelsService).leasePorts(tx, request));
      const changed = { ...first, bindPort: 7001, authToken: 'another-token-of-frps', credential: second.credential };
      await app.restart(proxyEnvironment([changed]));
      const service = app.app.get(TunnelsService);
      const [access] = await service.accessFor(rental.nodeId);
      expect(access).toMatchObject({ id: first.id, bind_port: 7001, auth_token: 'another-token-of-frps' });
      const found = await service.tunnelsOf(app.app.get(Database), [rental.rentalId]);
      expect(found.get(rental.rentalId)).toHaveLength(1);
      const ask = (proxy: { credential: string }) =>
        app.request('GET', '/internal/guard/v1/leases?sinceRev=0', { headers: guardOf(proxy) });
      expect([(await ask(first)).status, (await ask(second)).status]).toEqual([401, 200]);
    } finally {
      await app.close();
    }
  });

  it('refuses a credential for a proxy server that it does not have', async () => {
    const env = { ...proxyEnvironment([first]), GUARD_CREDENTIALS: `${second.id}:${second.credential}` };
    await expect(startBackend(env)).rejects.toThrow(second.id);
  });
});
