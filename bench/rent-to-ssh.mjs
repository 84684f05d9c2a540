import { connect } from 'node:net';
import { join } from 'node:path';
import { chooseRenter, signedInClient, signedUpClient } from '../tools/launch/accounts.mjs';
import { buildParts } from '../tools/launch/build.mjs';
import { DEFAULT_IMAGE, ensureDefaultImage } from '../tools/launch/image.mjs';
import { startLocalNode, startMarketStack } from '../tools/launch/market-stack.mjs';
import { freePort } from '../tools/launch/ports.mjs';
import { createProgress } from '../tools/launch/progress.mjs';
import { ensureSshKey, waitForRental } from '../tools/launch/rental-life.mjs';
import { inThrowAwayFolder } from '../tools/launch/throw-away.mjs';
import { waitFor } from '../tools/launch/wait.mjs';
import { BareTunnel } from './bare-tunnel.mjs';
import { dockerApi } from './docker-api.mjs';
import { measurePairs, resultOf } from './pairs.mjs';

const GOAL = 1.3;
const PASSWORD = 'bench-password-1234';
/** Apart from the ranges of a market, of the demo and of the baseline's own networks. */
const NETWORK_RANGE = '10.210.0.0/16';
const BASELINE_SUBNET = '10.211.0.0/28';

/**
 * From the call that rents to an SSH banner through the public port, with the image on the machine. The baseline is a
 * script that does by hand what a rental needs and nothing more: a fresh bridge, a container with the very flags of
 * ours and our guest in it, and a proxy added to an frpc that is logged in already.
 * @param {{root: string, pairs: number}} options
 */
export async function benchRentToSsh({ root, pairs }) {
  const progress = createProgress();
  const measured = await inThrowAwayFolder('bench', progress, async (dataDir) => {
    const built = await buildParts({ root, progress, logDir: join(dataDir, 'logs') });
    const mode = { fixedPorts: false, runtime: 'docker', env: { PORT_REST_MS: '0' } };
    const stack = await startMarketStack({ root, dataDir, built, progress, port: await freePort(), mode });
    try {
      return await measureOn({ stack, built, pairs, progress });
    } finally {
      await stack.stop({ discard: true });
    }
  });
  return [resultOf({ measure: 'rent call -> SSH banner through the public port', unit: 'ms', goal: GOAL, measured })];
}

async function measureOn({ stack, built, pairs, progress }) {
  await progress.step('default image', () => ensureDefaultImage(stack.dockerHost));
  const market = await joinMarket(stack, progress);
  const docker = dockerApi(stack.dockerHost);
  const pattern = await progress.step('warm-up, and the pattern for the baseline', () =>
    rentAndReadPattern(market, docker),
  );
  const tunnel = await BareTunnel.start({ dataDir: stack.dataDir, built });
  try {
    await measureBaseline({ docker, tunnel, pattern });
    return await progress.step(`${pairs} pairs`, () =>
      measurePairs({
        pairs,
        baseline: () => measureBaseline({ docker, tunnel, pattern }),
        ours: () => measureRental(market),
      }),
    );
  } finally {
    await tunnel.stop();
  }
}

async function joinMarket(stack, progress) {
  const { url, secrets, dataDir } = stack;
  const host = await signedUpClient(url, { email: 'host@bench.example', password: PASSWORD, role: 'BOTH' });
  const stranger = await signedUpClient(url, { email: 'renter@bench.example', password: PASSWORD, role: 'RENT' });
  const operator = await signedInClient(url, { email: secrets.operatorEmail, password: secrets.operatorPassword });
  const { secret } = await host.post('/api/v1/host-keys', { name: 'bench' });
  await progress.step('this machine joins', () =>
    startLocalNode(stack, { hostKey: secret, runtime: 'docker', networkRange: NETWORK_RANGE }),
  );
  const { renter, offer } = await chooseRenter({ host, renter: stranger, progress });
  await operator.post('/api/v1/operator/credits', { userId: renter.user.id, amount: '100', reason: 'bench' });
  const { publicKey } = ensureSshKey(join(dataDir, 'secrets'));
  return {
    renter,
    request: { offerId: offer.id, image: DEFAULT_IMAGE, sshPublicKeys: [publicKey], ttlSeconds: 900 },
  };
}

/** Rents once and reads from the engine how such a container is made, so that the baseline makes the same. */
async function rentAndReadPattern(market, docker) {
  const { id } = await market.renter.post('/api/v1/rentals', market.request);
  const { containerId } = await waitForRental(market.renter, id, ['RUNNING']);
  const { Config, HostConfig } = await docker.inspect(containerId);
  const network = await docker.inspectNetwork(HostConfig.NetworkMode);
  const files = await docker.readFiles(containerId, '/.dcompute');
  await deleteRental(market, id);
  return { Config, HostConfig, networkOptions: network.Options, files };
}

async function measureRental(market) {
  const begin = performance.now();
  const { id, connectionInfo } = await market.renter.post('/api/v1/rentals', market.request);
  await bannerThrough(connectionInfo.sshPort);
  const took = performance.now() - begin;
  await deleteRental(market, id);
  return took;
}

async function deleteRental(market, id) {
  await market.renter.delete(`/api/v1/rentals/${id}`);
  await waitForRental(market.renter, id, ['TERMINATED'], { timeoutMs: 60_000 });
}

async function measureBaseline({ docker, tunnel, pattern }) {
  const name = `dcompute-bench-${process.pid}`;
  const begin = performance.now();
  const { Id: network } = await docker.createNetwork({
    Name: name,
    Driver: 'bridge',
    IPAM: { Config: [{ Subnet: BASELINE_SUBNET }] },
    Options: { ...pattern.networkOptions, 'com.docker.network.bridge.name': 'dcbench0' },
  });
  let container;
  let added = false;
  try {
    ({ Id: container } = await docker.create(name, {
      ...pattern.Config,
      Labels: {},
      HostConfig: { ...pattern.HostConfig, NetworkMode: name },
    }));
    await docker.writeFiles(container, '/', pattern.files);
    await docker.start(container);
    const { NetworkSettings } = await docker.inspect(container);
    added = true;
    await tunnel.add(Number(NetworkSettings.Ports['22/tcp'][0].HostPort));
    await bannerThrough(tunnel.publicPort);
    return performance.now() - begin;
  } finally {
    if (container) await docker.remove(container);
    await docker.removeNetwork(network);
    if (added) await tunnel.remove();
  }
}

/** Resolves when an SSH banner came through a port of loopback; tries again at once where nobody listens yet. */
async function bannerThrough(port) {
  await waitFor('an SSH banner', () => readBanner(port), { timeoutMs: 60_000, intervalMs: 5 });
}

function readBanner(port) {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    const done = (result) => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(5000, () => done(false));
    socket.once('data', (data) => done(data.toString('latin1').startsWith('SSH-2.0-')));
    socket.once('error', () => done(false));
    socket.once('close', () => done(false));
  });
}
