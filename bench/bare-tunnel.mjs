import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeCertificates } from '../tools/frp/certificates.mjs';
import { renderFrpsConfig } from '../tools/frp/frps-config.mjs';
import { freePort } from '../tools/launch/ports.mjs';
import { Supervisor } from '../tools/launch/supervisor.mjs';
import { waitFor } from '../tools/launch/wait.mjs';

const SERVER_NAME = 'frps.bench.internal';
const TOKEN = 'bench-token-0123456789';
const PROXY = 'bench';

/** frps and one frpc that is logged in, as ours are but without a guard: the tunnel of the baseline. */
export class BareTunnel {
  constructor({ supervisor, publicPort, storeUrl }) {
    this.supervisor = supervisor;
    this.publicPort = publicPort;
    this.storeUrl = storeUrl;
  }

  static async start({ folder, built }) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const certificates = await makeCertificates({ folder, serverName: SERVER_NAME });
    const [bindPort, adminPort, storePort, publicPort] = [
      await freePort(),
      await freePort(),
      await freePort(),
      await freePort(),
    ];
    const supervisor = new Supervisor({ runDir: join(folder, 'run'), logDir: join(folder, 'logs') });
    const env = { PATH: process.env.PATH ?? '' };

    const server = renderFrpsConfig({
      bindAddr: '127.0.0.1',
      bindPort,
      proxyBindAddr: '127.0.0.1',
      certFile: certificates.certFile,
      keyFile: certificates.keyFile,
      authToken: TOKEN,
      portStart: publicPort,
      portEnd: publicPort,
      adminPort,
      adminUser: 'ops',
      adminPassword: TOKEN,
      guardAddress: '127.0.0.1:1',
    });
    writeFileSync(join(folder, 'frps.toml'), server.slice(0, server.indexOf('[[httpPlugins]]')), { mode: 0o600 });
    const healthy = (port) => async () =>
      (await fetch(`http://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(2000) })).ok;
    await supervisor.start({
      name: 'frps',
      command: built.frps,
      args: ['-c', join(folder, 'frps.toml')],
      env,
      ready: healthy(adminPort),
    });

    writeFileSync(
      join(folder, 'frpc.toml'),
      clientConfig({ folder, bindPort, storePort, caFile: certificates.caFile }),
      { mode: 0o600 },
    );
    const loggedIn = () => /login to server success/.test(readFileSync(join(folder, 'logs/frpc.log'), 'utf8'));
    await supervisor.start({
      name: 'frpc',
      command: built.frpc,
      args: ['-c', join(folder, 'frpc.toml')],
      env,
      ready: loggedIn,
    });
    return new BareTunnel({ supervisor, publicPort, storeUrl: `http://127.0.0.1:${storePort}/api/store/proxies` });
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
    await this.supervisor.stop('frpc');
    await this.supervisor.stop('frps');
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
