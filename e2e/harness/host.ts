import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, closeSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { inject } from 'vitest';
import { waitFor } from '../../tools/launch/wait.mjs';
import { type ApiClient, newAccount } from './accounts.js';
import { docker } from './docker.js';
import { FaultProxy } from './fault-proxy.js';

const run = promisify(execFile);
let nextNetwork = 0;

/** A host with one node: a real agent on the shared engine, behind a proxy through which a test can lose its messages. */
export interface TestHost {
  readonly api: ApiClient;
  readonly proxy: FaultProxy;
  readonly nodeId: string;
  readonly offerId: string;
  /** Starts the agent (again). */
  startAgent(): Promise<void>;
  /** SIGKILL: nothing of it gets a chance to say good-bye. */
  killAgent(): Promise<void>;
  /** Ends agent, instances, tunnels, networks and rules of this node. */
  tearDown(): Promise<void>;
}

/** Enrols a new node of a new host and waits for its offers. `entry` replaces the agent's program (a lying one, say). */
export async function startHost(options: { entry?: readonly string[] } = {}): Promise<TestHost> {
  const market = inject('market');
  const api = await newAccount('LEASE');
  const { secret } = await api.post('/api/v1/host-keys', { name: 'e2e' });
  const proxy = await FaultProxy.start(market.url.replace(/^http/, 'ws'));
  const stateDir = mkdtempSync(join(market.dataDir, 'agent-'));
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: process.env['HOME'] ?? '/',
    DOCKER_HOST: market.dockerHost,
    DCOMPUTE_BACKEND_URL: `${proxy.url}/agent/v1`,
    DCOMPUTE_HOST_KEY: String(secret),
    DCOMPUTE_STATE_DIR: stateDir,
    DCOMPUTE_FRPC: market.programs.frpc,
    DCOMPUTE_GUEST: market.programs.guest,
    // A range of its own: nodes that share an engine would else try each other's subnets.
    DCOMPUTE_NETWORK_RANGE: `10.${216 + (nextNetwork++ % 16)}.0.0/16`,
  };
  const [program = market.programs.agent, ...args] = options.entry ?? [market.programs.agent];
  let agent: ChildProcess | undefined;

  const startAgent = async (): Promise<void> => {
    const log = openSync(join(market.dataDir, 'logs', `${stateDir.split('/').at(-1)}.log`), 'a');
    agent = spawn(program, [...args, 'run'], { env, stdio: ['ignore', log, log] });
    closeSync(log);
    await waitFor('the agent', () => run(market.programs.agent, ['status'], { env }), { timeoutMs: 60_000 });
  };
  const killAgent = async (): Promise<void> => {
    if (!agent || agent.exitCode !== null || agent.signalCode !== null) return;
    agent.kill('SIGKILL');
    await once(agent, 'exit');
  };
  let nodeId = '';
  const tearDown = async (): Promise<void> => {
    await killAgent();
    try {
      await run(market.programs.agent, ['down', '--offline'], { env, timeout: 120_000 });
    } finally {
      await proxy.stop();
      const left = nodeId && (await docker('ps', '--all', '--quiet', '--filter', `label=dc.node=${nodeId}`));
      if (left) await docker('rm', '--force', '--volumes', ...left.split('\n'));
      rmSync(stateDir, { recursive: true, force: true });
    }
  };

  try {
    await startAgent();
    const first = async (path: string): Promise<{ id: string } | undefined> => (await api.get(path)).items[0];
    nodeId = (await waitFor('the node', () => first('/api/v1/nodes'), { timeoutMs: 60_000 }))?.id ?? '';
    const offers = `/api/v1/offers?nodeId=${nodeId}`;
    const offerId = (await waitFor('its offers', () => first(offers), { timeoutMs: 60_000 }))?.id ?? '';
    return { api, proxy, nodeId, offerId, startAgent, killAgent, tearDown };
  } catch (error) {
    await tearDown();
    throw error;
  }
}
