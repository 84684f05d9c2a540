import { join } from 'node:path';
import { runLogged } from './run.mjs';

/** Applies the committed SQL migrations as the database's owner. */
export async function migrate({ root, built, databaseUrl, log }) {
  await runLogged(built.node, ['dist/commands/migrate.js'], {
    log,
    cwd: join(root, 'apps/backend'),
    env: { PATH: process.env.PATH ?? '', MIGRATION_DATABASE_URL: databaseUrl },
  });
}

/** The backend in role `all`. */
export function backendPart({ root, built, secrets, tunnel, port, databaseUrl, env }) {
  const url = `http://127.0.0.1:${port}`;
  return {
    name: 'backend',
    command: built.node,
    args: ['--enable-source-maps', 'dist/main.js'],
    cwd: join(root, 'apps/backend'),
    env: {
      PATH: process.env.PATH ?? '',
      NODE_ENV: 'development',
      APP_ROLE: 'all',
      HOST: '127.0.0.1',
      PORT: String(port),
      PUBLIC_URL: url,
      DATABASE_URL: databaseUrl,
      SECRETS_KEYS: secrets.secretsKeys,
      EMBEDDED_AUTH_SECRET: secrets.embeddedAuth,
      OPERATOR_EMAIL: secrets.operatorEmail,
      OPERATOR_PASSWORD: secrets.operatorPassword,
      GUARD_CREDENTIALS: `${secrets.proxyServerId}:${secrets.guardCredential}`,
      PROXY_SERVERS: JSON.stringify([tunnel.proxyServer]),
      ...env,
    },
    ready: async () => (await fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(2000) })).ok,
    readyTimeoutMs: 60_000,
  };
}

/** The guard beside frps. It has no database: it asks the backend. */
export function guardPart({ root, dataDir, built, secrets, tunnel, port, env }) {
  return {
    name: 'guard',
    command: built.node,
    args: ['--enable-source-maps', 'dist/main.js'],
    cwd: join(root, 'apps/backend'),
    env: {
      PATH: process.env.PATH ?? '',
      NODE_ENV: 'development',
      APP_ROLE: 'guard',
      GUARD_LISTEN: `127.0.0.1:${tunnel.guardPort}`,
      GUARD_STATE_DIR: join(dataDir, 'guard'),
      GUARD_BACKEND_URL: `http://127.0.0.1:${port}`,
      GUARD_CREDENTIAL: secrets.guardCredential,
      GUARD_PROXY_SERVER_ID: secrets.proxyServerId,
      FRPS_ADMIN_URL: `http://127.0.0.1:${tunnel.adminPort}`,
      FRPS_ADMIN_USER: 'ops',
      FRPS_ADMIN_PASSWORD: secrets.frpsAdminPassword,
      PROXY_PROBE_HOST: '127.0.0.1',
      ...env,
    },
    ready: async () =>
      (await fetch(`http://127.0.0.1:${tunnel.guardPort}/health`, { signal: AbortSignal.timeout(2000) })).ok,
  };
}
