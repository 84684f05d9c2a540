import { join } from 'node:path';
import { ensureOperatorKeys } from './accounts.mjs';
import { buildParts } from './build.mjs';
import { prepareDataDir } from './data-dir.mjs';
import { holdDataDir } from './hold.mjs';
import { ensureDefaultImage } from './image.mjs';
import { startLocalNode, startMarketStack } from './market-stack.mjs';
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
  const interrupted = interruption();
  const dataDir = prepareDataDir(root);
  const release = holdDataDir(dataDir);
  const port = Number(process.env.PORT ?? DEFAULT_PORT);
  const built = await buildParts({ root, progress, logDir: join(dataDir, 'logs') });
  const stack = await startMarketStack({ root, dataDir, built, progress, port, mode: { fixedPorts: true, runtime } });
  try {
    await joinThisMachine({ stack, progress, runtime });
    printReady(stack, progress);
    await interrupted;
  } finally {
    await progress.step('stopping: rentals first, disks and data are kept', () => stack.stop());
    release();
  }
}

async function joinThisMachine({ stack, progress, runtime }) {
  const keys = await ensureOperatorKeys(stack);
  if (runtime === 'docker') await progress.step('default image', () => ensureDefaultImage(stack.dockerHost, progress));
  await progress.step('joining this machine as a node', async () => {
    await startLocalNode(stack, { hostKey: keys.hostKey, runtime });
    const api = restClient({ url: stack.url, token: keys.apiKey });
    await waitFor('an offer of this machine', async () => (await api.get('/api/v1/offers')).items.length > 0, {
      timeoutMs: 60_000,
      intervalMs: 100,
    });
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
  npm run market -- rent            rent the cheapest offer
  npm run market -- ssh             open SSH into it

Ctrl-C stops everything; data stays.
`);
}

/** Resolves at the first Ctrl-C or SIGTERM; a second one does not cut the clean-up short. */
function interruption() {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => resolve(signal));
  });
}
