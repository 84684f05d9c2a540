import { join } from 'node:path';
import { ensureOperatorKeys } from './accounts.mjs';
import { buildParts } from './build.mjs';
import { prepareDataDir } from './data-dir.mjs';
import { Failure } from './failure.mjs';
import { holdDataDir } from './hold.mjs';
import { ensureDefaultImage } from './image.mjs';
import { interrupted, interruption } from './interruption.mjs';
import { startLocalNode, startMarketStack } from './market-stack.mjs';
import { portSetting } from './ports.mjs';
import { createProgress } from './progress.mjs';
import { restClient } from './rest.mjs';
import { waitFor } from './wait.mjs';

const DEFAULT_PORT = 3000;

/**
 * `npm start`: the whole market on this machine, with this machine as its first node, until Ctrl-C.
 * @param {{root: string, runtime: 'docker' | 'simulated'}} options
 */
export async function startMarket({ root, runtime }) {
  const progress = createProgress();
  process.stderr.write('\nDistributedCompute: starting the market on this machine\n\n');
  const port = portSetting('PORT', DEFAULT_PORT);
  const dataDir = prepareDataDir(root);
  const release = await holdDataDir(dataDir);
  try {
    const built = await buildParts({ root, progress, logDir: join(dataDir, 'logs') });
    const mode = { fixedPorts: true, runtime };
    await serveUntilInterrupted(
      await startMarketStack({ root, dataDir, built, progress, port, mode }),
      progress,
      runtime,
    );
  } finally {
    release();
  }
}

async function serveUntilInterrupted(stack, progress, runtime) {
  try {
    await joinThisMachine({ stack, progress, runtime });
    printReady(stack, progress);
    await interrupted();
  } finally {
    await progress.step('stopping: rentals first, disks and data are kept', () => stack.stop());
  }
}

async function joinThisMachine({ stack, progress, runtime }) {
  const keys = await ensureOperatorKeys(stack);
  if (runtime === 'docker') await progress.step('default image', () => ensureDefaultImage(stack.dockerHost, progress));
  const node = await progress.step('joining this machine as a node', async () => {
    await startLocalNode(stack, { hostKey: keys.hostKey, runtime });
    return await untilServing(stack, restClient({ url: stack.url, token: keys.apiKey }));
  });
  if (node.frozenReason) progress.note(`the node is frozen: ${node.frozenReason}`);
  if (node.rentableByOwnerOnly && runtime === 'docker')
    progress.note(
      'this user cannot set firewall rules: the machine is rentable by its owner only (run npm start as root to let others rent it)',
    );
}

/** Waits until the node is online and offers itself, or has nothing left to offer: all of it may be rented already. */
async function untilServing(stack, api) {
  const serving = async () => {
    const node = (await api.get('/api/v1/nodes')).items.find(({ id }) => id === stack.node.nodeId);
    if (!node || !['online', 'busy', 'maintenance'].includes(node.status)) return undefined;
    const rented = node.capacity.freeCpuMillicores < node.capacity.totalCpuMillicores;
    const offered = async () => (await api.get(`/api/v1/offers?nodeId=${node.id}`)).items.length > 0;
    return (rented || node.frozenReason || node.draining || (await offered())) && node;
  };
  return await waitFor('an offer of this machine', serving, { timeoutMs: 60_000, intervalMs: 100 }).catch((error) => {
    interruption.throwIfAborted();
    throw new Failure(error.message, `What the agent says: ${join(stack.dataDir, 'logs', 'agent.log')}`);
  });
}

function printReady(stack, progress) {
  process.stdout.write(`
ready in ${(progress.elapsedMs() / 1000).toFixed(1)} s

  API        ${stack.url}/api/v1        (document: ${stack.url}/api/openapi.json)
  operator   ${stack.secrets.operatorEmail}  password in ${join(stack.dataDir, 'secrets', 'launcher.json')}
  logs       ${join(stack.dataDir, 'logs')}

Next, in another terminal:

  npm run market -- offers          what this machine offers
  npm run market -- credit 10       give yourself credit to rent with
  npm run market -- rent            rent the cheapest offer
  npm run market -- ssh             open SSH into it

Ctrl-C stops everything; data stays.
`);
}
