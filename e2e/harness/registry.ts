import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../tools/launch/ports.mjs';
import { waitFor } from '../../tools/launch/wait.mjs';
import { docker } from './docker.js';

/**
 * A real registry on loopback that holds one image, behind a gate: while the gate is shut, answers stop coming, as from
 * a stalled network.
 */
export class StallingRegistry {
  #open = false;
  readonly #sockets = new Set<Socket>();

  private constructor(
    private readonly registry: ChildProcess,
    private readonly gate: Server,
    private readonly folder: string,
    /** The image, as a renter names it. */
    readonly image: string,
  ) {}

  /** Starts the registry and pushes `localImage` into it. */
  static async start(localImage: string): Promise<StallingRegistry> {
    const folder = mkdtempSync(join(tmpdir(), 'dcompute-registry-'));
    const port = await freePort();
    const config = join(folder, 'config.yml');
    writeFileSync(
      config,
      JSON.stringify({
        version: 0.1,
        log: { level: 'error' },
        storage: { filesystem: { rootdirectory: join(folder, 'data') } },
        http: { addr: `127.0.0.1:${port}` },
      }),
    );
    const registry = spawn('docker-registry', ['serve', config], { stdio: 'ignore' });
    const gate = createServer();
    try {
      const registryUrl = `http://127.0.0.1:${port}/v2/`;
      await waitFor('the registry', async () => (await fetch(registryUrl)).ok, { timeoutMs: 30_000 });
      const pushed = `127.0.0.1:${port}/stalling:1`;
      await docker('tag', localImage, pushed);
      await docker('push', '--quiet', pushed);
      await docker('rmi', pushed);
      gate.listen(0, '127.0.0.1');
      await once(gate, 'listening');
    } catch (error) {
      registry.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
    const { port: gatePort } = gate.address() as AddressInfo;
    const stalling = new StallingRegistry(registry, gate, folder, `127.0.0.1:${gatePort}/stalling:1`);
    gate.on('connection', (client) => stalling.#join(client, port));
    return stalling;
  }

  /** Lets answers through. */
  open(): void {
    this.#open = true;
    for (const socket of this.#sockets) socket.resume();
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.gate.close(() => resolve()));
    this.registry.kill('SIGKILL');
    if (this.registry.exitCode === null && this.registry.signalCode === null) await once(this.registry, 'exit');
    rmSync(this.folder, { recursive: true, force: true });
  }

  #join(client: Socket, port: number): void {
    const upstream = connect({ host: '127.0.0.1', port });
    for (const socket of [client, upstream]) {
      this.#sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => this.#sockets.delete(socket));
    }
    client.pipe(upstream);
    upstream.on('data', (chunk) => client.write(chunk));
    upstream.on('close', () => client.destroy());
    client.on('close', () => upstream.destroy());
    if (!this.#open) upstream.pause();
  }
}
