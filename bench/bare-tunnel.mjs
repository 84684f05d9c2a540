import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeCertificates } from '../tools/frp/certificates.mjs';
import { renderFrpsConfig } from '../tools/frp/frps-config.mjs';
import { freePort } from '../tools/launch/ports.mjs';
import { Supervisor } from '../tools/launch/supervisor.mjs';
import { waitFor } from '../tools/launch/wait.mjs';

const SERVER_NAME = 'frps.bench.internal';
const TOKEN = randomBytes(16).toString('hex');
const PROXY = 'bench';
const SERVER = 'bare-frps';
const CLIENT = 'bare-frpc';

/** frps and one frpc that is logged in, as ours are but without a guard: the tunnel of the baseline. */
export class BareTunnel {
  constructor({ supervisor, publicPort, storeUrl }) {
    this.supervisor = supervisor;
    this.publicPort = publicPort;
    this.storeUrl = storeUrl;
  }

  /** Its parts are noted beside those of the market on `dataDir`, so that they are found if this process is killed. */
  static async start({ dataDir, built }) {
    const folder = join(dataDir, 'bare');
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const { caFile, certFile, keyFile } = await makeCertificates({ folder, serverName: SERVER_NAME });
    const [bindPort, adminPort, storePort, publicPort] = [
      await freePort(),
      await freePort(),
      await freePort(),
      await freePort(),
    ];
    const server = renderFrpsConfig({
      bindAddr: '127.0.0.1',
      bindPort,
      proxyBindAddr: '127.0.0.1',
      certFile,
      keyFile,
      authToken: TOKEN,
      portStart: publicPort,
      portEnd: publicPort,
      adminPort,
      adminUser: 'ops',
      adminPassword: TOKEN,
      guardAddress: '127.0.0.1:1',
    });
    const logDir = join(dataDir, 'logs');
    const supervisor = new Supervisor({ runDir: join(dataDir, 'run'), logDir });
    const tunnel = new BareTunnel({
      supervisor,
      publicPort,
      storeUrl: `http://127.0.0.1:${storePort}/api/store/proxies`,
    });
    const start = (name, command, config, ready) => {
      const file = join(folder, `${name}.toml`);
      writeFileSync(file, config, { mode: 0o600 });
      return supervisor.start({ name, command, args: ['-c', file], env: { PATH: process.env.PATH ?? '' }, ready });
    };
    try {
      const healthy = async () =>
        (await fetch(`http://127.0.0.1:${adminPort}/healthz`, { signal: AbortSignal.timeout(2000) })).ok;
      await start(SERVER, built.frps, server.slice(0, server.indexOf('[[httpPlugins]]')), healthy);
      const loggedIn = () => /login to server success/.test(readFileSync(join(logDir, `${CLIENT}.log`), 'utf8'));
      await start(CLIENT, built.frpc, clientConfig({ folder, bindPort, storePort, caFile }), loggedIn);
      return tunnel;
    } catch (error) {
      await tunnel.stop();
      throw error;
    }
  }

  /** Leads the public port to a port of loopback. */
  async add(localPort) {
    const body = { name: PROXY, type: 'tcp', tcp: { localIP: '127.0.0.1', localPort, remotePort: this.publicPort } };
    await this.#call('POST', this.storeUrl, body);
  }

  /** Returns when nothing listens any more. */
  async remove() {
    await this.#call('DELETE', `${this.storeUrl}/${PROXY}`);
    await waitFor(
      'the public port to close',
      async () =>
        fetch(`http://127.0.0.1:${this.publicPort}/`).then(
          () => false,
          (error) => error.cause?.code === 'ECONNREFUSED',
        ),
      { timeoutMs: 10_000, intervalMs: 5 },
    );
  }

  async stop() {
    await this.supervisor.stop(CLIENT);
    await this.supervisor.stop(SERVER);
  }

  async #call(method, url, body) {
    const response = await fetch(url, {
      method,
      headers: {
        authorization: `Basic ${Buffer.from(`ops:${TOKEN}`).toString('base64')}`,
        'content-type': 'application/json',
      },
      body: body && JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${await response.text()}`);
  }
}

function clientConfig({ folder, bindPort, storePort, caFile }) {
  return `serverAddr = "127.0.0.1"
serverPort = ${bindPort}
user = "bench"

[auth]
method = "token"
token = "${TOKEN}"
additionalScopes = ["HeartBeats", "NewWorkConns"]

[transport]
tcpMux = false
poolCount = 2
heartbeatInterval = 10

[transport.tls]
trustedCaFile = "${caFile}"
serverName = "${SERVER_NAME}"

[store]
path = "${join(folder, 'store.json')}"

[webServer]
addr = "127.0.0.1"
port = ${storePort}
user = "ops"
password = "${TOKEN}"
`;
}
