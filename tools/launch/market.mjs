import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { dataDirOf } from './data-dir.mjs';
import { Failure } from './failure.mjs';
import { ensureSshKey, sshArguments, waitForRental } from './rental-life.mjs';
import { restClient } from './rest.mjs';
import { readJsonFile } from './whole-file.mjs';

const USAGE = `npm run market -- <command>

  offers                       what can be rented now, cheapest first
  rent [offer]                 rent an offer (default: the cheapest) and wait until SSH answers
       --image NAME --port N --env NAME=VALUE --ttl SECONDS --cap DOLLARS --args 'COMMAND'
  rentals                      your rentals
  show [rental]                one rental, whole
  events [rental]              what happened to it, and why
  ssh [rental] [-- command]    open SSH, or run one command
  stop | start | delete [rental]
  balance                      what the account has
  transactions                 its ledger rows
  credit AMOUNT                grant yourself credit (operator of this market)

A rental or an offer is named by its number (the first column) or its id; without one the latest or cheapest is meant.
`;

/**
 * `npm run market -- ...`: small commands over the REST API.
 * @param {{root: string, argv: string[]}} options
 */
export async function runMarketCommand({ root, argv }) {
  const [name = 'help', ...rest] = argv;
  if (['help', '--help', '-h'].includes(name)) return void process.stdout.write(USAGE);
  if (!Object.hasOwn(commands, name))
    throw new Failure(`There is no command "${name}".`, 'See: npm run market -- help');
  const folder = join(dataDirOf(root), 'secrets');
  const market = readJsonFile(join(folder, 'market.json'));
  if (!market) throw new Failure('No market was started here yet.', 'Start one: npm start');
  const api = restClient({ url: market.url, token: market.apiKey });
  await commands[name]({ api, folder, email: market.email, argv: rest }).catch((error) => {
    throw explained(error, market.url);
  });
}

/** Says what to type where the cause is known. */
function explained(error, url) {
  if (error.cause?.code === 'ECONNREFUSED')
    return new Failure(
      `The market at ${url} does not answer.`,
      'Wait a moment if it is starting, else start it: npm start',
    );
  if (error.code === 'rental.insufficient_funds')
    return new Failure(error.message, 'Give yourself credit: npm run market -- credit 10');
  return error;
}

const commands = {
  async offers({ api }) {
    const { items } = await api.get('/api/v1/offers?limit=100');
    table(
      ['no', 'GPU', 'CPU', 'RAM', 'disk', '$/hour'],
      items.map((offer) => [
        offer.publicId,
        offer.gpuCount ? `${offer.gpuCount}x ${offer.gpuModel}` : '-',
        offer.cpuMillicores / 1000,
        `${offer.ramMib} MiB`,
        `${offer.diskGib} GiB`,
        offer.pricePerHour,
      ]),
    );
  },
  async rent({ api, folder, argv }) {
    const { values, positionals } = parseArgs({
      args: argv,
      allowPositionals: true,
      options: {
        image: { type: 'string' },
        port: { type: 'string', multiple: true, default: [] },
        env: { type: 'string', multiple: true, default: [] },
        ttl: { type: 'string' },
        cap: { type: 'string' },
        args: { type: 'string' },
      },
    });
    const offer = await findOffer(api, positionals[0]);
    const { publicKey, privateKey } = sshKey(folder);
    const created = await api.post('/api/v1/rentals', {
      offerId: offer.id,
      ...(values.image ? { image: values.image } : {}),
      ...(values.args ? { runType: 'args', command: ['/bin/sh', '-c', values.args] } : {}),
      ports: values.port.map(Number),
      env: Object.fromEntries(values.env.map(splitPair)),
      sshPublicKeys: [publicKey],
      ...(values.ttl ? { ttlSeconds: Number(values.ttl) } : {}),
      ...(values.cap ? { moneyCap: values.cap } : {}),
    });
    process.stdout.write(`rental ${created.publicId} at $${created.costPerHour} per hour\n`);
    const rental = await waitForRental(api, created.id, ['RUNNING'], {
      onChange: (state) => process.stderr.write(`  ${state}\n`),
    });
    // Options may follow the address; this one needs the key of this folder.
    const command = `${rental.connectionInfo.sshCommand} -i '${privateKey}'`;
    process.stdout.write(`${command}\nopen it: npm run market -- ssh ${rental.publicId}\n`);
  },
  async rentals({ api }) {
    const { items } = await api.get('/api/v1/rentals?limit=50');
    table(
      ['no', 'status', 'image', '$/hour', 'charged', 'address'],
      items.map((rental) => [
        rental.publicId,
        rental.endReason && rental.status !== 'RUNNING' ? `${rental.status} (${rental.endReason})` : rental.status,
        rental.image,
        rental.costPerHour,
        rental.chargedTotal,
        rental.connectionInfo ? `${rental.connectionInfo.host}:${rental.connectionInfo.sshPort}` : '-',
      ]),
    );
  },
  async show({ api, argv }) {
    print(await findRental(api, argv[0]));
  },
  async events({ api, argv }) {
    const { id } = await findRental(api, argv[0]);
    const { items } = await api.get(`/api/v1/rentals/${id}/events?limit=200`);
    table(
      ['when', 'event', 'status', 'why'],
      items.map((event) => [event.createdAt, event.type, event.toStatus ?? '', event.message ?? event.reason ?? '']),
    );
  },
  async ssh({ api, folder, argv }) {
    const split = argv.indexOf('--');
    const command = split >= 0 ? argv.slice(split + 1) : [];
    const named = split >= 0 ? argv.slice(0, split) : argv;
    const rental = await untilRunning(api, await findRental(api, named[0]));
    const { privateKey } = sshKey(folder);
    const child = spawn('ssh', [...sshArguments({ rental, privateKey, folder: join(folder, 'ssh') }), ...command], {
      stdio: 'inherit',
    });
    process.exitCode = await new Promise((resolve) => child.on('close', (code) => resolve(code ?? 255)));
  },
  stop: ({ api, argv }) =>
    act(api, argv[0], (id) => api.post(`/api/v1/rentals/${id}/stop`), ['STOPPED', 'TERMINATED', 'FAILED']),
  start: ({ api, argv }) => act(api, argv[0], (id) => api.post(`/api/v1/rentals/${id}/start`), ['RUNNING']),
  delete: ({ api, argv }) => act(api, argv[0], (id) => api.delete(`/api/v1/rentals/${id}`), ['TERMINATED', 'FAILED']),
  async balance({ api }) {
    print(await api.get('/api/v1/balance'));
  },
  async transactions({ api }) {
    const { items } = await api.get('/api/v1/transactions?limit=50');
    table(
      ['when', 'type', 'amount', 'account', 'kind', 'reference'],
      items.map((row) => [row.createdAt, row.type, row.amount, row.account, row.kind, row.referenceId ?? '']),
    );
  },
  async credit({ api, email, argv }) {
    print(
      await api.post('/api/v1/operator/credits', {
        email,
        amount: argv[0] ?? '10',
        reason: 'granted from the command line',
      }),
    );
  },
};

/** `NAME=VALUE` of --env. */
function splitPair(pair) {
  const at = pair.indexOf('=');
  if (at > 0) return [pair.slice(0, at), pair.slice(at + 1)];
  throw new Failure(`--env ${pair} has no value.`, 'Write it as --env NAME=VALUE');
}

async function act(api, name, change, statuses) {
  const { id, publicId } = await findRental(api, name);
  await change(id);
  const rental = await waitForRental(api, id, statuses, { onChange: (state) => process.stderr.write(`  ${state}\n`) });
  process.stdout.write(`rental ${publicId} is ${rental.status}; charged so far: $${rental.chargedTotal}\n`);
}

/** A rental that is starting, or that its node will resume, is waited for; one that was stopped is not. */
async function untilRunning(api, rental) {
  if (rental.status === 'RUNNING') return rental;
  if (rental.status === 'STOPPED' && rental.endReason !== 'node_shutdown') {
    throw new Failure(`Rental ${rental.publicId} is stopped.`, `Start it: npm run market -- start ${rental.publicId}`);
  }
  return await waitForRental(api, rental.id, ['RUNNING'], {
    onChange: (state) => process.stderr.write(`  ${state}\n`),
  });
}

async function findOffer(api, name) {
  const { items } = await api.get('/api/v1/offers?limit=200');
  const offer =
    name === undefined ? items[0] : items.find((item) => item.id === name || String(item.publicId) === name);
  if (!offer)
    throw new Failure(
      name === undefined ? 'Nothing is free to rent right now.' : `There is no offer "${name}", or it is taken.`,
      'See: npm run market -- offers',
    );
  return offer;
}

async function findRental(api, name) {
  const { items } = await api.get('/api/v1/rentals?limit=200');
  const wanted =
    name === undefined
      ? ({ status }) => !['TERMINATED', 'FAILED'].includes(status)
      : ({ id, publicId }) => id === name || String(publicId) === name;
  const rental = items.find(wanted);
  if (rental) return rental;
  const message = name === undefined ? 'You have no such rental right now.' : `There is no rental "${name}".`;
  throw new Failure(message, 'See: npm run market -- rentals');
}

function sshKey(folder) {
  mkdirSync(join(folder, 'ssh'), { recursive: true, mode: 0o700 });
  return ensureSshKey(join(folder, 'ssh'));
}

function table(head, rows) {
  const cells = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column].length)));
  for (const row of cells)
    process.stdout.write(
      `${row
        .map((cell, column) => cell.padEnd(widths[column]))
        .join('  ')
        .trimEnd()}\n`,
    );
  if (rows.length === 0) process.stdout.write('(none)\n');
}

const print = (value) => process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
