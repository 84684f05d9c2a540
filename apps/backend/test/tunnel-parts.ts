import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeCertificates } from '../../../tools/frp/certificates.mjs';
import { renderFrpsConfig } from '../../../tools/frp/frps-config.mjs';
import { ChildProgram } from './child-program.js';
import { freePort } from './free-port.js';
import { CuttableLine } from './network-parts.js';
import { type SeededProxy, proxySeed } from './tunnel-seed.js';

const SERVER_NAME = 'frps.test.internal';
const RENTAL_PORTS = 20;

/** What a test wants open through frpc; the rest of frp's TOML for a proxy. */
export interface WantedProxy {
  readonly name: string;
  readonly type?: string;
  readonly localPort: number;
  readonly remotePort?: number;
  readonly more?: string;
}

/** Real frps, frpc and guard processes around a backend. */
export class TunnelParts {
  readonly #frpcs: ChildProgram[] = [];
  #frps: ChildProgram | undefined;
  #guard: ChildProgram | undefined;
  #line: CuttableLine | undefined;

  private constructor(
    readonly folder: string,
    readonly proxy: SeededProxy,
    private readonly certificates: { caFile: string; certFile: string; keyFile: string },
    private readonly ports: { admin: number; guard: number },
    private readonly adminPassword: string,
  ) {}

  /** Chooses ports and makes certificates: what a backend's configuration needs to know. */
  static async plan(): Promise<TunnelParts> {
    const folder = await mkdtemp(join(tmpdir(), 'dcompute-test-tunnel-'));
    const certificates = await makeCertificates({ folder, serverName: SERVER_NAME });
    const portStart = await freePortBlock(RENTAL_PORTS);
    const proxy = proxySeed({
      bindPort: await freePort(),
      portStart,
      portEnd: portStart + RENTAL_PORTS - 1,
      caPem: await readFile(certificates.caFile, 'utf8'),
      serverName: SERVER_NAME,
    });
    const ports = { admin: await freePort(), guard: await freePort() };
    return new TunnelParts(folder, proxy, certificates, ports, randomBytes(12).toString('hex'));
  }

  /** The line between guard and backend. */
  get line(): CuttableLine {
    if (!this.#line) throw new Error('not started');
    return this.#line;
  }

  get guard(): ChildProgram {
    if (!this.#guard) throw new Error('not started');
    return this.#guard;
  }

  async start(backendPort: number): Promise<void> {
    this.#line = await CuttableLine.to(backendPort);
    await this.startGuard();
    const config = join(this.folder, 'frps.toml');
    await writeFile(
      config,
      renderFrpsConfig({
        ...this.certificates,
        bindAddr: '127.0.0.1',
        bindPort: this.proxy.bindPort,
        proxyBindAddr: '127.0.0.1',
        authToken: this.proxy.authToken,
        portStart: this.proxy.portStart,
        portEnd: this.proxy.portEnd,
        adminPort: this.ports.admin,
        adminUser: 'ops',
        adminPassword: this.adminPassword,
        guardAddress: `127.0.0.1:${this.ports.guard}`,
      }),
    );
    this.#frps = ChildProgram.start(binary('DCOMPUTE_FRPS'), ['-c', config]);
    await this.#frps.ready('frps', async () => (await fetch(`http://127.0.0.1:${this.ports.admin}/healthz`)).ok);
  }

  /** Starts the guard, as its process is started in production. */
  async startGuard(): Promise<void> {
    this.#guard = ChildProgram.start(process.execPath, ['--import', './test/typescript-process.mjs', 'src/main.ts'], {
      cwd: join(import.meta.dirname, '..'),
      env: {
        NODE_ENV: 'test',
        LOG_LEVEL: 'info',
        APP_ROLE: 'guard',
        GUARD_LISTEN: `127.0.0.1:${this.ports.guard}`,
        GUARD_STATE_DIR: join(this.folder, 'guard'),
        GUARD_BACKEND_URL: `http://127.0.0.1:${this.line.port}`,
        GUARD_CREDENTIAL: this.proxy.credential,
        GUARD_PROXY_SERVER_ID: this.proxy.id,
        FRPS_ADMIN_URL: `http://127.0.0.1:${this.ports.admin}`,
        FRPS_ADMIN_USER: 'ops',
        FRPS_ADMIN_PASSWORD: this.adminPassword,
        PROBE_INTERVAL_MS: '300',
      },
    });
    await this.#guard.ready('guard', async () => (await this.health()).status === 'ok');
  }

  async health(): Promise<{
    status: string;
    rev: number;
    leases: number;
    syncedAt: string | null;
    waitingProbes: number;
  }> {
    const response = await fetch(`http://127.0.0.1:${this.ports.guard}/health`);
    return (await response.json()) as Awaited<ReturnType<TunnelParts['health']>>;
  }

  /** The revision that a guard would start from. */
  async storedRev(): Promise<number> {
    const { rev } = JSON.parse(await readFile(join(this.folder, 'guard', 'leases.json'), 'utf8')) as { rev: number };
    return rev;
  }

  /** Asks the guard as frps does, for what a well-behaved frpc cannot say. */
  async askGuard(
    op: string,
    content: unknown,
  ): Promise<{ reject: boolean; unchange?: boolean; reject_reason?: string }> {
    const response = await fetch(`http://127.0.0.1:${this.ports.guard}/internal/frp?version=0.1.0&op=${op}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ version: '0.1.0', op, content }),
    });
    return (await response.json()) as Awaited<ReturnType<TunnelParts['askGuard']>>;
  }

  /** Starts an frpc that ends when its first login is refused. */
  async startFrpc(node: { id: string; token: string }, proxies: readonly WantedProxy[]): Promise<Frpc> {
    const adminPort = await freePort();
    const config = join(this.folder, `frpc-${adminPort}.toml`);
    await writeFile(config, this.#frpcConfig(node, proxies, adminPort), { mode: 0o600 });
    const program = ChildProgram.start(binary('DCOMPUTE_FRPC'), ['-c', config]);
    this.#frpcs.push(program);
    return new Frpc(program, adminPort);
  }

  /** Ends every frpc: the nodes of a test are gone. */
  async stopFrpcs(): Promise<void> {
    await Promise.all(this.#frpcs.splice(0).map((frpc) => frpc.stop()));
  }

  async close(): Promise<void> {
    await this.stopFrpcs();
    await this.#frps?.stop();
    await this.#guard?.stop();
    await this.#line?.close();
    await rm(this.folder, { recursive: true, force: true });
  }

  #frpcConfig(node: { id: string; token: string }, proxies: readonly WantedProxy[], adminPort: number): string {
    return `
user = ${JSON.stringify(node.id)}
serverAddr = "127.0.0.1"
serverPort = ${this.proxy.bindPort}
loginFailExit = true
metadatas.node_token = ${JSON.stringify(node.token)}
auth.method = "token"
auth.token = ${JSON.stringify(this.proxy.authToken)}
auth.additionalScopes = ["HeartBeats", "NewWorkConns"]
transport.tcpMux = false
transport.poolCount = 2
transport.heartbeatInterval = 1
transport.tls.trustedCaFile = ${JSON.stringify(this.certificates.caFile)}
transport.tls.serverName = ${JSON.stringify(SERVER_NAME)}
webServer.addr = "127.0.0.1"
webServer.port = ${adminPort}
log.disablePrintColor = true
${proxies.map(proxyConfig).join('\n')}`;
  }
}

/** A running frpc and what it says of its proxies. */
export class Frpc {
  constructor(
    readonly program: ChildProgram,
    private readonly adminPort: number,
  ) {}

  /** `running`, `start error` and the like; undefined while frpc does not say. */
  async statusOf(name: string): Promise<string | undefined> {
    const response = await fetch(`http://127.0.0.1:${this.adminPort}/api/status`);
    const byType = (await response.json()) as Record<string, { name: string; status: string }[]>;
    return Object.values(byType)
      .flat()
      .find((proxy) => proxy.name.endsWith(name))?.status;
  }
}

function proxyConfig(proxy: WantedProxy): string {
  return `
[[proxies]]
name = ${JSON.stringify(proxy.name)}
type = "${proxy.type ?? 'tcp'}"
localIP = "127.0.0.1"
localPort = ${proxy.localPort}
${proxy.remotePort === undefined ? '' : `remotePort = ${proxy.remotePort}`}
${proxy.more ?? ''}`;
}

function binary(variable: 'DCOMPUTE_FRPS' | 'DCOMPUTE_FRPC'): string {
  const path = process.env[variable];
  if (path) return path;
  throw new Error(`${variable} is not set: it has to name the binary built from tools/go.mod (npm test sets it).`);
}

/** The first of `size` free ports, below the range that the kernel gives out by itself. */
async function freePortBlock(size: number): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const start = 21_000 + Math.floor(Math.random() * 10_000);
    const free = await Promise.all(Array.from({ length: size }, (_, index) => isFree(start + index)));
    if (free.every(Boolean)) return start;
  }
  throw new Error(`no ${size} free ports in a row`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer().once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
