import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Database } from '../src/infra/index.js';
import { TunnelsService } from '../src/modules/tunnels/index.js';
import { type BackendApp, startBackend } from './backend-app.js';
import { EchoClient, type LocalServer, startEcho, startSshServer } from './network-parts.js';
import { TunnelParts, type WantedProxy } from './tunnel-parts.js';
import { proxyEnvironment, seedNode, seedRental } from './tunnel-seed.js';
import { until } from './until.js';

interface Node {
  readonly id: string;
  readonly token: string;
}

/** One container port of a rental and the public port leased for it. */
interface Leased {
  readonly rentalId: string;
  readonly name: string;
  readonly port: number;
  readonly hostKeyPem: string;
}

const HTTP_PORT = 8080;
const SSH_PORT = 22;

let parts: TunnelParts;
let backend: BackendApp;
let echo: LocalServer;
let node: Node;
const open: { close(): unknown }[] = [];

beforeAll(async () => {
  parts = await TunnelParts.plan();
  backend = await startBackend({ ...proxyEnvironment([parts.proxy]), PORT_REST_MS: '0' });
  await parts.start(backend.port);
  echo = await startEcho();
});
afterAll(async () => {
  await parts?.close();
  await echo?.close();
  await backend?.close();
});

beforeEach(async () => {
  node = await newNode();
});
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
  await parts.stopFrpcs();
  parts.line.mend();
});

const tunnels = () => backend.app.get(TunnelsService);
const database = () => backend.app.get(Database);

async function newNode(): Promise<Node> {
  const id = await seedNode(backend.db);
  const [access] = await tunnels().accessFor(id);
  return { id, token: access?.node_token ?? '' };
}

async function lease(containerPort = HTTP_PORT, of: Node = node): Promise<Leased> {
  const { rentalId, hostKey } = await seedRental(backend.db, of.id);
  const request = { rentalId, nodeId: of.id, containerPorts: [containerPort] };
  const { leases } = await database().transaction((tx) => tunnels().leasePorts(tx, request));
  const name = `dc-${rentalId}-${containerPort}`;
  return { rentalId, name, port: leases[0]?.port ?? 0, hostKeyPem: hostKey.privateKeyPem };
}

async function revoke(rentalId: string): Promise<void> {
  await database().transaction((tx) => tunnels().revokeLeases(tx, rentalId));
}

const to = (server: LocalServer, leased: Leased): WantedProxy => ({
  name: leased.name,
  localPort: server.port,
  remotePort: leased.port,
});

async function running(of: Node, proxy: WantedProxy) {
  const frpc = await parts.startFrpc(of, [proxy]);
  await frpc.program.ready('the proxy', async () => (await frpc.statusOf(proxy.name)) === 'running');
  return frpc;
}

async function connect(port: number): Promise<EchoClient> {
  const client = await EchoClient.open(port);
  open.push(client);
  return client;
}

async function expectRefusedProxy(of: Node, proxy: WantedProxy): Promise<void> {
  const frpc = await parts.startFrpc(of, [proxy]);
  await frpc.program.ready('a refusal', async () => (await frpc.statusOf(proxy.name)) === 'start error');
}

/** That the guard itself refused, and why, by its log. */
async function expectRefusalFor(of: Node, reason: string): Promise<void> {
  const isRefusal = (line: string): boolean =>
    ['guard.refused', of.id, JSON.stringify(reason)].every((part) => line.includes(part));
  await until(`the guard to refuse because ${reason}`, () => parts.guard.output.split('\n').some(isRefusal));
}

async function expectRefusedLogin(of: Node): Promise<void> {
  const { program } = await parts.startFrpc(of, []);
  await until('frpc to give up', () => program.hasEnded);
  expect(program.exitCode).toBe(1);
  expect(program.output).toContain('login to the server failed');
}

describe('a live lease', () => {
  it('carries every byte, both ways, from its public port to the node', async () => {
    const leased = await lease();
    await running(node, to(echo, leased));
    const client = await connect(leased.port);
    await client.echo(randomBytes(1024 * 1024));
  });

  it('of an SSH port is proven within a moment of its opening, and again and again', async () => {
    const leased = await lease(SSH_PORT);
    const ssh = await startSshServer(leased.hostKeyPem);
    open.push(ssh);
    await running(node, to(ssh, leased));
    const openedAt = Date.now();
    const proven = await until('a good probe', () => lastOkAt(leased.rentalId));
    expect(proven.getTime() - openedAt).toBeLessThan(1_000);
    await until('another one', async () => ((await lastOkAt(leased.rentalId)) ?? proven) > proven);
  });

  it('is not proven by a server with another host key', async () => {
    const leased = await lease(SSH_PORT);
    const stranger = await startSshServer((await lease(SSH_PORT)).hostKeyPem);
    open.push(stranger);
    await running(node, to(stranger, leased));
    const failure = await until('a failed probe', async () => (await probeState(leased.rentalId))?.failure);
    expect(failure).toBe('host_key_mismatch');
    expect(await lastOkAt(leased.rentalId)).toBeNull();
  });

  it('takes no part of what another node has', async () => {
    const mine = await lease();
    const other = await newNode();
    const theirs = await lease(HTTP_PORT, other);
    await running(node, to(echo, mine));
    await expectRefusedProxy(other, { ...to(echo, theirs), remotePort: mine.port });
    await (await connect(mine.port)).echo(Buffer.from('still mine'));
  });
});

describe('a node that asks for more than it has', () => {
  it('cannot log in with the token of another node', async () => {
    const other = await newNode();
    await expectRefusedLogin({ id: node.id, token: other.token });
    await expectRefusalFor(node, 'the token is not that of this node');
  });

  it.each<[string, string, (wanted: WantedProxy & { remotePort: number }) => WantedProxy]>([
    [
      'a port that is not leased',
      'the port is not the leased one',
      (wanted) => ({
        ...wanted,
        remotePort: wanted.remotePort === parts.proxy.portEnd ? wanted.remotePort - 1 : wanted.remotePort + 1,
      }),
    ],
    ['a name that is not leased', 'no such lease', (wanted) => ({ ...wanted, name: 'dc-free-22' })],
    ['a udp port', 'only tcp proxies are allowed', (wanted) => ({ ...wanted, type: 'udp' })],
    [
      'a secret tunnel (stcp)',
      'only tcp proxies are allowed',
      ({ name, localPort }) => ({ name, localPort, type: 'stcp', more: 'secretKey = "s"' }),
    ],
    [
      'a direct tunnel (xtcp)',
      'only tcp proxies are allowed',
      ({ name, localPort }) => ({ name, localPort, type: 'xtcp', more: 'secretKey = "s"' }),
    ],
    [
      'a share of a group',
      'a proxy may not set group',
      (wanted) => ({ ...wanted, more: 'loadBalancer.group = "g"\nloadBalancer.groupKey = "k"' }),
    ],
  ])('does not get %s', async (_what, reason, change) => {
    const leased = await lease();
    await expectRefusedProxy(node, change({ ...to(echo, leased), remotePort: leased.port }));
    await expectRefusalFor(node, reason);
    await expect(EchoClient.open(leased.port)).rejects.toThrow();
  });

  it('does not get a host name', async () => {
    const leased = await lease();
    const content = { user: userOf(node), proxy_name: `${node.id}.${leased.name}`, proxy_type: 'http', subdomain: 'x' };
    expect(await parts.askGuard('NewProxy', content)).toMatchObject({ reject: true });
  });

  it("does not get the lease of another node under that node's name", async () => {
    const other = await newNode();
    const theirs = await lease(HTTP_PORT, other);
    const content = {
      user: userOf(node),
      proxy_name: `${other.id}.${theirs.name}`,
      proxy_type: 'tcp',
      remote_port: theirs.port,
    };
    expect(await parts.askGuard('NewProxy', content)).toMatchObject({ reject: true });
    expect(await parts.askGuard('NewProxy', { ...content, user: userOf(other) })).toMatchObject({
      reject: false,
      unchange: true,
    });
  });

  it('does not break the guard with nonsense', async () => {
    expect(await parts.askGuard('NewProxy', { user: 7 })).toMatchObject({ reject: true });
    expect(await parts.askGuard('Surprise', {})).toMatchObject({ reject: true });
    expect(await parts.askGuard('Login', 'x'.repeat(10_000))).toMatchObject({ reject: true });
  });
});

describe('an end', () => {
  it('of a lease refuses new connections at once, and frees its port only when frps has closed it', async () => {
    const leased = await lease();
    const frpc = await running(node, to(echo, leased));
    await connect(leased.port);
    await revoke(leased.rentalId);
    await until('new connections to be refused', () => isRefused(leased.port));
    expect(await leaseState(leased.rentalId)).toBe('revoked');
    await frpc.program.stop();
    await until('the port to rest', async () => (await leaseState(leased.rentalId)) === 'resting');
    await expectRefusedProxy(node, to(echo, leased));
  });

  it('of a node refuses a login that was good before, and new connections to its ports', async () => {
    const leased = await lease();
    await running(node, to(echo, leased));
    await (await connect(leased.port)).echo(Buffer.from('x'));
    await evict(node);
    await until('new connections to be refused', () => isRefused(leased.port));
    await expectRefusedLogin(node);
    await expectRefusalFor(node, 'this node was evicted');
    expect(await parts.askGuard('Ping', { user: userOf(node), timestamp: 1 })).toMatchObject({ reject: true });
  });
});

describe('while the platform is away', () => {
  it('what is known goes on, even for a node that comes anew; what is not is refused until it is back', async () => {
    const known = await lease();
    await until('the guard to know it', async () => (await parts.health()).rev === (await revOf()));
    parts.line.cut();
    const unknown = await lease();
    await running(node, to(echo, known));
    await (await connect(known.port)).echo(Buffer.from('known'));
    await expectRefusedProxy(node, to(echo, unknown));
    await parts.stopFrpcs();
    parts.line.mend();
    await running(node, to(echo, unknown));
    await (await connect(unknown.port)).echo(Buffer.from('news'));
  });

  it('a guard that is killed and started again still knows what it knew', async () => {
    const known = await lease();
    await until('the guard to know it', async () => (await parts.health()).rev === (await revOf()));
    await until('it to be on disk', async () => (await parts.storedRev()) === (await revOf()));
    parts.line.cut();
    await parts.guard.kill();
    await parts.startGuard();
    expect((await parts.health()).syncedAt).toBeNull();
    await running(node, to(echo, known));
    await (await connect(known.port)).echo(Buffer.from('remembered'));
  });

  it('probes are kept, also over a restart of the guard, and reported later with their own times', async () => {
    const leased = await lease(SSH_PORT);
    const ssh = await startSshServer(leased.hostKeyPem);
    open.push(ssh);
    await running(node, to(ssh, leased));
    await until('a good probe', () => lastOkAt(leased.rentalId));
    parts.line.cut();
    const cutAt = new Date();
    await until('probes to wait', async () => (await parts.health()).waitingProbes >= 3);
    await parts.guard.stop();
    await parts.startGuard();
    expect((await parts.health()).waitingProbes).toBeGreaterThanOrEqual(3);
    parts.line.mend();
    await until('all of them to arrive', async () => (await parts.health()).waitingProbes === 0);
    const { rows } = await backend.db.query<{ windows: string }>(
      `SELECT count(*) AS windows FROM "ProbeWindow" WHERE "rentalId" = $1 AND "fromAt" < $2 AND "toAt" > $2`,
      [leased.rentalId, cutAt],
    );
    expect(rows[0]?.windows).toBe('1');
  });
});

describe('a guard that is killed', () => {
  it('takes no open session with it, although its node loses the control connection', async () => {
    const leased = await lease();
    const frpc = await running(node, to(echo, leased));
    const session = await connect(leased.port);
    await parts.guard.kill();
    try {
      await frpc.program.says('pong message contains error');
      await session.echo(randomBytes(100_000));
      await expect(EchoClient.open(leased.port)).rejects.toThrow();
    } finally {
      await parts.startGuard();
    }
  });
});

function userOf(of: Node) {
  return { user: of.id, metas: { node_token: of.token }, run_id: 'test' };
}

async function evict(of: Node): Promise<void> {
  await database().transaction(async (tx) => {
    await tx.query('UPDATE "HostNode" SET "evictedAt" = now() WHERE "id" = $1', [of.id]);
    await tunnels().announceNode(tx, of.id);
  });
}

async function isRefused(port: number): Promise<boolean> {
  try {
    (await EchoClient.open(port)).close();
    return false;
  } catch {
    return true;
  }
}

async function leaseState(rentalId: string): Promise<string | undefined> {
  const { rows } = await backend.db.query<{ state: string }>('SELECT "state" FROM "PortLease" WHERE "rentalId" = $1', [
    rentalId,
  ]);
  return rows[0]?.state;
}

async function probeState(rentalId: string) {
  const { rows } = await backend.db.query<{ lastOkAt: Date | null; failure: string | null }>(
    'SELECT "lastOkAt", "failure" FROM "ProbeState" WHERE "rentalId" = $1',
    [rentalId],
  );
  return rows[0];
}

async function lastOkAt(rentalId: string): Promise<Date | null> {
  return (await probeState(rentalId))?.lastOkAt ?? null;
}

async function revOf(): Promise<number> {
  const { rows } = await backend.db.query<{ rev: string }>('SELECT "rev" FROM "ProxyServer" WHERE "id" = $1', [
    parts.proxy.id,
  ]);
  return Number(rows[0]?.rev);
}
