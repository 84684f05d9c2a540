import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { agentPart, discardInstances, nodeIdOf, takeNodeDown } from './agent.mjs';
import { backendPart, guardPart, migrate } from './backend.mjs';
import { dockerEngine } from './engine.mjs';
import { Failure } from './failure.mjs';
import { frpsPart, planTunnel } from './frps.mjs';
import { requirePort } from './ports.mjs';
import { postgresPart } from './postgres.mjs';
import { loadSecrets } from './secrets.mjs';
import { Supervisor } from './supervisor.mjs';

/** The order in which parts end: each before what it needs. */
const STOP_ORDER = ['agent', 'frps', 'guard', 'backend', 'dockerd', 'postgres'];
const STOP_SIGNALS = { postgres: 'SIGINT' };

/**
 * @typedef {object} MarketStack a running market
 * @property {Supervisor} supervisor
 * @property {string} dataDir
 * @property {Awaited<ReturnType<typeof import('./build.mjs').buildParts>>} built
 * @property {ReturnType<typeof loadSecrets>} secrets
 * @property {string} url of the API
 * @property {string | undefined} dockerHost
 * @property {string | undefined} databaseUrl of the application's login
 * @property {Awaited<ReturnType<typeof dockerEngine>> | undefined} engine
 * @property {object | undefined} node the agent of this machine
 * @property {(options?: {discard?: boolean}) => Promise<void>} stop ends everything in order; `discard` removes the node's disks too
 */

/**
 * Starts every part of the market but the node: PostgreSQL, frps, guard and backend, and a Docker engine where this
 * machine has none. What an earlier launcher left behind is ended first.
 * @param {object} options
 * @param {string} options.root the checkout
 * @param {string} options.dataDir
 * @param {Awaited<ReturnType<typeof import('./build.mjs').buildParts>>} options.built
 * @param {ReturnType<typeof import('./progress.mjs').createProgress>} options.progress
 * @param {number} options.port of the backend
 * @param {{fixedPorts: boolean, runtime: 'docker' | 'simulated', env?: Record<string, string>}} options.mode
 * @returns {Promise<MarketStack>}
 */
export async function startMarketStack({ root, dataDir, built, progress, port, mode }) {
  const secrets = loadSecrets(dataDir);
  const supervisor = new Supervisor({
    runDir: join(dataDir, 'run'),
    logDir: join(dataDir, 'logs'),
    onCrash: (name, detail) =>
      progress.note(
        `${name} ended unexpectedly (${detail}); starting it again. Log: ${join(dataDir, 'logs', `${name}.log`)}`,
      ),
  });
  const left = await supervisor.endLeftovers({ stopOrder: STOP_ORDER, stopSignals: STOP_SIGNALS });
  if (left.length > 0) progress.note(`an earlier launcher was killed: ended its ${left.join(', ')}`);

  // After the leftovers have gone: one of them may have had the port.
  if (mode.fixedPorts) await requirePort(port, { what: 'the API', variable: 'PORT' });

  /** @type {MarketStack} */
  const stack = {
    supervisor,
    dataDir,
    built,
    secrets,
    url: `http://127.0.0.1:${port}`,
    dockerHost: undefined,
    databaseUrl: undefined,
    engine: undefined,
    node: undefined,
    stop: (options) => stopStack(stack, options),
  };
  try {
    await startParts(stack, { root, progress, port, mode });
    return stack;
  } catch (error) {
    await stack.stop();
    throw error;
  }
}

async function startParts(stack, { root, progress, port, mode }) {
  const { supervisor, dataDir, secrets, built } = stack;
  if (mode.runtime === 'docker') {
    stack.engine = await dockerEngine({ dataDir, progress, own: mode.ownEngine });
    stack.dockerHost = stack.engine.dockerHost;
    const { part } = stack.engine;
    if (part) await progress.step('starting a Docker engine of our own', () => supervisor.start(part));
  }
  const tunnel = await planTunnel({ dataDir, secrets, mode });
  await progress.step('starting PostgreSQL', async () => {
    const postgres = await postgresPart({ root, dataDir, secrets });
    await supervisor.start(postgres.part);
    await postgres.prepare();
    await migrate({ root, built, databaseUrl: postgres.ownerUrl, log: join(dataDir, 'logs', 'migrate.log') });
    stack.databaseUrl = postgres.appUrl;
  });
  const wiring = { root, dataDir, built, secrets, tunnel, port, databaseUrl: stack.databaseUrl, env: mode.env ?? {} };
  await progress.step('starting the backend', () => supervisor.start(backendPart(wiring)));
  await progress.step('starting the tunnel (guard, frps)', async () => {
    await supervisor.start(guardPart(wiring));
    await supervisor.start(frpsPart(wiring));
  });
}

/**
 * Starts this machine's agent as a node of the market under `hostKey`.
 * @param {Awaited<ReturnType<typeof startMarketStack>>} stack
 * @param {{hostKey: string, runtime: 'docker' | 'simulated', networkRange?: string}} options
 */
export async function startLocalNode(stack, options) {
  if (stack.node) throw new Failure('the local node runs already');
  mkdirSync(join(stack.dataDir, 'agent'), { recursive: true, mode: 0o700 });
  stack.node = {
    ...options,
    dataDir: stack.dataDir,
    built: stack.built,
    backendUrl: stack.url,
    dockerHost: stack.dockerHost,
  };
  await stack.supervisor.start(agentPart(stack.node));
}

/** Ends everything in order: rentals of the local node first (their disks are kept), PostgreSQL last. */
async function stopStack(stack, { discard = false } = {}) {
  const { supervisor, node } = stack;
  if (node) {
    stack.node = undefined;
    const nodeId = discard ? await nodeIdOf(node).catch(() => undefined) : undefined;
    supervisor.expectEnd('agent');
    await takeNodeDown(node, supervisor.pidOf('agent'));
    if (nodeId) await discardInstances(node, nodeId);
  }
  for (const name of STOP_ORDER) await supervisor.stop(name);
  if (stack.engine?.part) stack.engine.cleanUp();
}
