import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { inject } from 'vitest';
import { freePort, freePortBlock } from '../../tools/launch/ports.mjs';
import { restClient } from '../../tools/launch/rest.mjs';
import { waitFor } from '../../tools/launch/wait.mjs';
import { docker } from './docker.js';

const root = join(import.meta.dirname, '../..');

/** `npm start` on a data folder of its own. */
export class Launcher {
  #child: ChildProcess | undefined;
  #output = '';

  private constructor(
    readonly dataDir: string,
    readonly env: Record<string, string>,
  ) {}

  static async prepare(): Promise<Launcher> {
    const market = inject('market');
    // With a space in it: people's folders have them.
    const dataDir = mkdtempSync('/var/tmp/dcompute launcher-');
    // Above the blocks that throw-away markets take, below what the kernel gives out.
    const rentals = await freePortBlock(100, 32_000, 32_700);
    const env = {
      ...(process.env as Record<string, string>),
      DCOMPUTE_DATA_DIR: dataDir,
      DOCKER_HOST: market.dockerHost,
      PORT: String(await freePort()),
      FRPS_PORT: String(await freePort()),
      RENTAL_PORTS: `${rentals.start}-${rentals.end}`,
    };
    return new Launcher(dataDir, env);
  }

  get output(): string {
    return this.#output;
  }

  get url(): string {
    return `http://127.0.0.1:${this.env['PORT']}`;
  }

  /** Starts it and waits for "ready", or another text. Returns the milliseconds that took. */
  async start(until: string | RegExp = /ready in/): Promise<number> {
    const begin = Date.now();
    this.#output = '';
    const child = spawn(process.execPath, [join(root, 'tools/launch/main.mjs'), 'start'], {
      env: this.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (this.#output += String(chunk)));
    await waitFor('the market to be ready', () => this.#output.search(until) >= 0, {
      timeoutMs: 120_000,
      abort: () => (child.exitCode === null ? undefined : `the launcher ended:\n${this.#output}`),
    });
    return Date.now() - begin;
  }

  /** Sends signals, each as soon as the one before is out, and waits until the launcher has ended. Returns its exit code. */
  async end(...signals: NodeJS.Signals[]): Promise<number | null> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const ended = once(child, 'exit');
    for (const signal of signals) child.kill(signal);
    await ended;
    return child.exitCode;
  }

  /** The node that this machine is in this market. */
  async nodeId(): Promise<string> {
    const { apiKey } = JSON.parse(readFileSync(join(this.dataDir, 'secrets/market.json'), 'utf8')) as {
      apiKey: string;
    };
    const { items } = await restClient({ url: this.url, token: apiKey }).get('/api/v1/nodes');
    return String(items[0].id);
  }

  /** `npm run market -- ...` against this market. */
  market(...args: string[]): string {
    return execFileSync(process.execPath, [join(root, 'tools/launch/main.mjs'), 'market', ...args], {
      env: this.env,
      encoding: 'utf8',
    });
  }

  /** Processes whose command line or environment names this data folder. */
  processes(): string[] {
    const listing = execFileSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' }).split('\n');
    return listing.filter((line) => {
      const pid = line.trim().split(/\s+/)[0];
      if (!pid || line.includes('tools/launch/main.mjs') || line.includes('ps -eo')) return false;
      return line.includes(this.dataDir) || environmentOf(pid).includes(this.dataDir);
    });
  }

  /** Ends everything, also what a killed launcher left behind. */
  async destroy(): Promise<void> {
    await this.end('SIGINT');
    if (this.processes().length > 0) {
      await this.start();
      await this.end('SIGINT');
    }
    rmSync(this.dataDir, { recursive: true, force: true });
  }
}

function environmentOf(pid: string): string {
  const file = `/proc/${pid}/environ`;
  try {
    return existsSync(file) ? readFileSync(file, 'latin1') : '';
  } catch {
    return '';
  }
}

/** Rules, bridges and networks that a node left behind. */
export async function tracesOf(nodeId: string): Promise<{ rules: string[]; links: string[]; networks: string }> {
  // The names that the agent derives from its node's id (apps/agent, runtime/names.py).
  const digest = createHash('sha256').update(nodeId).digest('hex');
  const names = new RegExp(`DC-${digest.slice(0, 8)}|dc${digest.slice(0, 4)}[0-9a-f+]`);
  const lines = (command: string, ...args: string[]): string[] =>
    execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n');
  return {
    rules: [...lines('iptables-save'), ...lines('ip6tables-save')].filter((line) => names.test(line)),
    links: lines('ip', '-o', 'link').filter((line) => names.test(line)),
    networks: await docker('network', 'ls', '--filter', `label=dc.node=${nodeId}`, '--format', '{{.Name}}'),
  };
}

/** The containers of a node that run. */
export async function runningOf(nodeId: string): Promise<string> {
  return await docker('ps', '--filter', `label=dc.node=${nodeId}`, '--format', '{{.Names}}');
}
