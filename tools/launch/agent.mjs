import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { runDetached } from './detached.mjs';
import { processStartTime } from './process-table.mjs';
import { waitFor } from './wait.mjs';
import { readJsonFile, writeWhole } from './whole-file.mjs';

/** More than the agent itself allows for stopping every instance, releasing its networks and ending. */
const DOWN_LIMIT_MS = 120_000;

/**
 * @typedef {object} LocalNode the agent of this machine, and all that is needed to take it down
 * @property {string} dataDir
 * @property {{agent: string, frpc: string, guest: string}} built
 * @property {string} backendUrl
 * @property {string} hostKey
 * @property {string | undefined} dockerHost
 * @property {'docker' | 'simulated'} runtime
 * @property {string} [networkRange]
 * @property {string} [nodeId] once the backend has given it one
 */

/**
 * The host agent on this machine, ready once the market knows it. SIGTERM leaves its rentals running; `takeNodeDown`
 * stops them.
 * @param {LocalNode} node
 */
export function agentPart(node) {
  return {
    name: 'agent',
    command: node.built.agent,
    args: ['run'],
    env: agentEnv(node),
    ready: async () => {
      const status = await runDetached(node.built.agent, ['status'], { env: agentEnv(node), timeoutMs: 10_000 });
      return (node.nodeId = JSON.parse(status).node_id);
    },
    readyTimeoutMs: 60_000,
  };
}

/** Notes a node before it runs: whoever finds the note knows how to take the node down. @param {LocalNode} node */
export function noteNode(node) {
  const { agent, frpc, guest } = node.built;
  writeWhole(nodeFile(node.dataDir), JSON.stringify({ ...node, built: { agent, frpc, guest } }));
}

/** The node that was not taken down yet, if any. @param {string} dataDir @returns {LocalNode | undefined} */
export const notedNode = (dataDir) => readJsonFile(nodeFile(dataDir));

const nodeFile = (dataDir) => join(dataDir, 'run', 'node.json');

/**
 * Stops the instances of the local node (reason node_shutdown; disks are kept), ends its frpc and takes away its
 * networks and firewall rules. Works with and without a running agent.
 * @param {LocalNode} node
 * @param {number | undefined} agentPid
 */
export async function takeNodeDown(node, agentPid) {
  mkdirSync(join(node.dataDir, 'agent'), { recursive: true, mode: 0o700 });
  const running = agentPid !== undefined && processStartTime(agentPid) !== null;
  try {
    await runDetached(node.built.agent, running ? ['down'] : ['down', '--offline'], {
      env: agentEnv(node),
      timeoutMs: DOWN_LIMIT_MS,
    });
    rmSync(nodeFile(node.dataDir), { force: true });
  } catch (error) {
    process.stderr.write(
      `\n  the node did not stop cleanly: ${error.message}\n  the next start tries again; log: ${join(node.dataDir, 'logs', 'agent.log')}\n`,
    );
  }
  if (running)
    await waitFor('the agent to end', () => processStartTime(agentPid) === null, {
      timeoutMs: 30_000,
      evenInterrupted: true,
    }).catch(() => {});
}

/**
 * Removes what a node keeps over a shutdown: its stopped containers with their disks. For throw-away markets.
 * @param {LocalNode} node
 */
export async function discardInstances({ dockerHost, nodeId }) {
  if (!dockerHost || !nodeId) return;
  const docker = async (...args) =>
    (await runDetached('docker', ['-H', dockerHost, ...args], { timeoutMs: 60_000 })).split(/\s+/).filter(Boolean);
  const containers = await docker('ps', '--all', '--quiet', '--filter', `label=dc.node=${nodeId}`);
  if (containers.length > 0) await docker('rm', '--force', '--volumes', ...containers);
}

/** @param {LocalNode} node */
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
