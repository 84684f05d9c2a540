import { join } from 'node:path';
import { chooseRenter, signedInClient, signedUpClient } from './accounts.mjs';
import { observeBanner } from './banner-observer.mjs';
import { buildParts } from './build.mjs';
import { DEFAULT_IMAGE, ensureDefaultImage } from './image.mjs';
import { startLocalNode, startMarketStack } from './market-stack.mjs';
import { freePort } from './ports.mjs';
import { createProgress } from './progress.mjs';
import { ensureSshKey, runOverSsh, sshArguments, waitForRental } from './rental-life.mjs';
import { inThrowAwayFolder } from './throw-away.mjs';
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
  const result = await inThrowAwayFolder('demo', progress, async (dataDir) => {
    const built = await buildParts({ root, progress, logDir: join(dataDir, 'logs') });
    const mode = { fixedPorts: false, runtime: 'docker', env: QUICK_SETTLEMENT };
    const stack = await startMarketStack({ root, dataDir, built, progress, port: await freePort(), mode });
    try {
      return await mainJob({ stack, progress });
    } finally {
      await progress.step('stopping', () => stack.stop({ discard: true }));
    }
  });
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

/** Host and renter sign up, this machine is rented, used over SSH and stopped; returns what it cost and how long it took. */
async function mainJob({ stack, progress }) {
  const { host, renter: stranger, operator } = await signUp(stack);
  await progress.step('default image', () => ensureDefaultImage(stack.dockerHost));
  await progress.step('the host enrols this machine', async () => {
    const { secret } = await host.post('/api/v1/host-keys', { name: 'demo' });
    await startLocalNode(stack, { hostKey: secret, runtime: 'docker', networkRange: NETWORK_RANGE });
  });
  const { renter, offer } = await chooseRenter({ host, renter: stranger, progress });
  await operator.post('/api/v1/operator/credits', { userId: renter.user.id, amount: '10', reason: 'demo' });
  const used = await useOffer({ renter, offer, progress, folder: join(stack.dataDir, 'secrets') });
  return { ...(await report({ renter, host, operator, rental: used.rental })), ...used.seen };
}

/** The host may rent too: where the firewall cannot be set, nobody else may. */
async function signUp({ url, secrets }) {
  const account = (name, role) =>
    signedUpClient(url, { email: `${name}@demo.example`, password: PASSWORD, displayName: `Demo ${name}`, role });
  return {
    host: await account('host', 'BOTH'),
    renter: await account('renter', 'RENT'),
    operator: await signedInClient(url, { email: secrets.operatorEmail, password: secrets.operatorPassword }),
  };
}

/** Rents, works over SSH and stops, watched from outside; returns the settled rental and what was seen. */
async function useOffer({ renter, offer, progress, folder }) {
  const { privateKey, publicKey } = ensureSshKey(folder);
  const { id } = await renter.post('/api/v1/rentals', {
    offerId: offer.id,
    image: DEFAULT_IMAGE,
    sshPublicKeys: [publicKey],
    ttlSeconds: 900,
    moneyCap: '1',
  });
  const observer = observeBanner((await renter.get(`/api/v1/rentals/${id}`)).connectionInfo);
  try {
    const running = await progress.step('rented; waiting for SSH', () => waitForRental(renter, id, ['RUNNING']));
    const ssh = sshArguments({ rental: running, privateKey, folder });
    const sshOutput = await progress.step(`working over SSH for ${WORK_SECONDS} s`, () => runOverSsh(ssh, COMMAND));
    await renter.post(`/api/v1/rentals/${id}/stop`);
    const rental = await progress.step('stopped; settling', () => settle(renter, id));
    const observed = await observer.stop();
    await renter.delete(`/api/v1/rentals/${id}`);
    await waitForRental(renter, id, ['TERMINATED'], { timeoutMs: 60_000 });
    const { sshCommand } = running.connectionInfo;
    return { rental, seen: { sshCommand, sshOutput: sshOutput.trim(), observed } };
  } finally {
    await observer.stop();
  }
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
