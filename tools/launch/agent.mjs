import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { processStartTime } from './process-table.mjs';
import { waitFor } from './wait.mjs';

const run = promisify(execFile);

/** The host agent on this machine. SIGTERM leaves its rentals running; `takeNodeDown` stops them. */
export function agentPart(node) {
  return {
    name: 'agent',
    command: node.built.agent,
    args: ['run'],
    env: agentEnv(node),
    ready: async () =>
      (await run(node.built.agent, ['status'], { env: agentEnv(node), timeout: 10_000 })).stdout.length > 0,
    readyTimeoutMs: 60_000,
  };
}

/**
 * Stops the instances of the local node (reason node_shutdown; disks are kept), ends its frpc and takes away its
 * networks and firewall rules. Works with and without a running agent.
 * @param {ReturnType<typeof agentPart>} node
 * @param {number | undefined} agentPid
 */
export async function takeNodeDown(node, agentPid) {
  mkdirSync(join(node.dataDir, 'agent'), { recursive: true });
  const running = agentPid !== undefined && processStartTime(agentPid) !== null;
  await run(node.built.agent, running ? ['down'] : ['down', '--offline'], {
    env: agentEnv(node),
    timeout: 60_000,
  }).catch((error) => {
    process.stderr.write(`  the node did not stop cleanly: ${error.stderr || error.message}\n`);
  });
  if (running)
    await waitFor('the agent to end', () => processStartTime(agentPid) === null, { timeoutMs: 30_000 }).catch(() => {});
}

/**
 * Removes what a node keeps over a shutdown: its stopped containers with their disks. For throw-away markets.
 * @param {{dockerHost: string | undefined}} node
 * @param {string} nodeId
 */
export async function discardInstances({ dockerHost }, nodeId) {
  if (!dockerHost) return;
  const docker = async (...args) =>
    (await run('docker', ['-H', dockerHost, ...args], { timeout: 60_000 })).stdout.split(/\s+/).filter(Boolean);
  const containers = await docker('ps', '--all', '--quiet', '--filter', `label=dc.node=${nodeId}`);
  if (containers.length > 0) await docker('rm', '--force', '--volumes', ...containers);
}

/** The id that the backend gave the local node; undefined before it has one. */
export async function nodeIdOf(node) {
  const { stdout } = await run(node.built.agent, ['status'], { env: agentEnv(node), timeout: 10_000 });
  return JSON.parse(stdout).node_id;
}

function agentEnv({ built, dataDir, backendUrl, hostKey, dockerHost, runtime, networkRange }) {
  return {
    PATH: process.env.PATH ?? '',
    HOME: process.env.HOME ?? '/',
    DCOMPUTE_BACKEND_URL: `${backendUrl.replace(/^http/, 'ws')}/agent/v1`,
    DCOMPUTE_HOST_KEY: hostKey,
    DCOMPUTE_STATE_DIR: join(dataDir, 'agent'),
    DCOMPUTE_FRPC: built.frpc,
    DCOMPUTE_GUEST: built.guest,
    DCOMPUTE_RUNTIME: runtime,
    ...(networkRange ? { DCOMPUTE_NETWORK_RANGE: networkRange } : {}),
    ...(dockerHost ? { DOCKER_HOST: dockerHost } : {}),
  };
}
