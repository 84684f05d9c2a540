import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { signedInClient, signedUpClient } from './accounts.mjs';
import { observeBanner } from './banner-observer.mjs';
import { buildParts } from './build.mjs';
import { layOutDataDir } from './data-dir.mjs';
import { DEFAULT_IMAGE, ensureDefaultImage } from './image.mjs';
import { startLocalNode, startMarketStack } from './market-stack.mjs';
import { freePort } from './ports.mjs';
import { createProgress } from './progress.mjs';
import { ensureSshKey, runOverSsh, sshArguments, waitForRental } from './rental-life.mjs';
import { waitFor } from './wait.mjs';

const PASSWORD = 'demo-password-1234';
const WORK_SECONDS = 8;
const COMMAND = `echo "$(id -un)@$(cat /proc/sys/kernel/hostname)"; echo work > /root/work.txt; sleep ${WORK_SECONDS}; cat /root/work.txt`;
/** A demo that waits three minutes for its last charge bores; the rules are the same. */
const QUICK_SETTLEMENT = {
  GATEWAY_FLUSH_MS: '1000',
  BILLING_TICK_MS: '2000',
  SETTLE_GRACE_MS: '8000',
  USAGE_SEGMENT_MS: '5000',
};
/** Apart from the range of a market that runs beside this one. */
const NETWORK_RANGE = '10.214.0.0/16';

/**
 * `npm run demo`: the main job once, unattended, on a throw-away data folder. The last line on stdout is one JSON object.
 * @param {{root: string}} options
 */
export async function runDemo({ root }) {
  const progress = createProgress();
  // /var/tmp, not /tmp: a container's disk does not belong into memory.
  const dataDir = mkdtempSync('/var/tmp/dcompute-demo-');
  let stack;
  const stop = async () => {
    await stack?.stop({ discard: true });
    rmSync(dataDir, { recursive: true, force: true });
  };
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void stop().finally(() => process.exit(130)));
  try {
    layOutDataDir(dataDir);
    const built = await buildParts({ root, progress, logDir: join(dataDir, 'logs') });
    const mode = { fixedPorts: false, runtime: 'docker', env: QUICK_SETTLEMENT };
    stack = await startMarketStack({ root, dataDir, built, progress, port: await freePort(), mode });
    const result = await mainJob({ stack, progress });
    await progress.step('stopping', () => stack.stop({ discard: true }));
    stack = undefined;
    process.stdout.write(`${JSON.stringify(result)}\n`);
  } finally {
    await stop();
  }
}

/** Host and renter sign up, this machine is rented, used over SSH and stopped; returns what it cost and how long it took. */
async function mainJob({ stack, progress }) {
  const { url, secrets, dataDir } = stack;
  const host = await signedUpClient(url, {
    email: 'host@demo.example',
    password: PASSWORD,
    displayName: 'Demo host',
    role: 'LEASE',
  });
  const renter = await signedUpClient(url, {
    email: 'renter@demo.example',
    password: PASSWORD,
    displayName: 'Demo renter',
    role: 'RENT',
  });
  const operator = await signedInClient(url, { email: secrets.operatorEmail, password: secrets.operatorPassword });
  await progress.step('default image', () => ensureDefaultImage(stack.dockerHost));
  await progress.step('the host enrols this machine', async () => {
    const { secret } = await host.post('/api/v1/host-keys', { name: 'demo' });
    await startLocalNode(stack, { hostKey: secret, runtime: 'docker', networkRange: NETWORK_RANGE });
  });
  await operator.post('/api/v1/operator/credits', { userId: renter.user.id, amount: '10', reason: 'demo' });
  const offer = await waitFor('an offer', async () => (await renter.get('/api/v1/offers')).items[0], {
    timeoutMs: 60_000,
    intervalMs: 100,
  });

  const { privateKey, publicKey } = ensureSshKey(join(dataDir, 'secrets'));
  const { id } = await renter.post('/api/v1/rentals', {
    offerId: offer.id,
    image: DEFAULT_IMAGE,
    sshPublicKeys: [publicKey],
    ttlSeconds: 900,
    moneyCap: '1',
  });
  const observer = observeBanner((await renter.get(`/api/v1/rentals/${id}`)).connectionInfo);
  const running = await progress.step('rented; waiting for SSH', () => waitForRental(renter, id, ['RUNNING']));
  const ssh = sshArguments({ rental: running, privateKey, folder: join(dataDir, 'secrets') });
  const sshOutput = await progress.step(`working over SSH for ${WORK_SECONDS} s`, () => runOverSsh(ssh, COMMAND));
  await renter.post(`/api/v1/rentals/${id}/stop`);
  const settled = await progress.step('stopped; settling', () => settle(renter, id));
  const observed = await observer.stop();
  await renter.delete(`/api/v1/rentals/${id}`);
  await waitForRental(renter, id, ['TERMINATED'], { timeoutMs: 60_000 });
  return {
    ...(await report({ renter, host, operator, rental: settled })),
    sshCommand: running.connectionInfo.sshCommand,
    sshOutput: sshOutput.trim(),
    observed,
  };
}

async function settle(renter, id) {
  await waitForRental(renter, id, ['STOPPED'], { timeoutMs: 60_000 });
  return await waitFor(
    'the last charge',
    async () => {
      const rental = await renter.get(`/api/v1/rentals/${id}`);
      return rental.settledAt && rental;
    },
    { timeoutMs: 180_000, intervalMs: 200 },
  );
}

async function report({ renter, host, operator, rental }) {
  const earned = await sumOf(host, rental.id, 'host_pending');
  const fees = await operator.get(`/api/v1/operator/transactions?referenceId=${rental.id}&account=platform_fee`);
  const check = await operator.get('/api/v1/operator/ledger/check');
  return {
    rentalId: rental.id,
    phasesMs: rental.phasesMs,
    billableSeconds: rental.billableMs / 1000,
    billableMs: rental.billableMs,
    pricePerHour: rental.costPerHour,
    charged: rental.chargedTotal,
    hostEarned: earned,
    platformFee: sumAmounts(fees.items),
    balanceLeft: (await renter.get('/api/v1/balance')).available,
    ledgerOk: check.ok,
  };
}

async function sumOf(client, rentalId, account) {
  const { items } = await client.get('/api/v1/transactions?limit=200');
  return sumAmounts(items.filter((item) => item.referenceId === rentalId && item.account === account));
}

/** Adds decimal strings exactly: 6 digits after the point, as integers. */
function sumAmounts(items) {
  const micros = items.reduce((sum, { amount, type }) => {
    const [whole, fraction = ''] = amount.split('.');
    const value = BigInt(whole) * 1_000_000n + BigInt(fraction.padEnd(6, '0'));
    return type === 'CREDIT' ? sum + value : sum - value;
  }, 0n);
  return `${micros / 1_000_000n}.${String(micros % 1_000_000n).padStart(6, '0')}`;
}
