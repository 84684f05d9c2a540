import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';

/** A database of one test file's own. */
export interface TestDatabase {
  /** The application's login, as the backend uses it. */
  readonly databaseUrl: string;
  /** The owner's login: for looking behind the application's rights. */
  readonly ownerUrl: string;
  /** False: as if the server were away for the application, whose connections end and which gets no new ones. */
  setReachable(reachable: boolean): Promise<void>;
  drop(): Promise<void>;
}

/** Copies the migrated template into a new database. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const { port, password, template } = inject('cluster');
  const name = `test_${randomBytes(8).toString('hex')}`;
  const admin = async (sql: string): Promise<void> => {
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', password, database: 'postgres' });
    await client.connect();
    try {
      await client.query(sql);
    } finally {
      await client.end();
    }
  };
  await admin(`CREATE DATABASE ${name} TEMPLATE ${template} OWNER dcompute_owner`);
  const url = (user: string): string => `postgresql://${user}:${password}@127.0.0.1:${port}/${name}`;
  return {
    databaseUrl: url('dcompute_backend'),
    ownerUrl: url('dcompute_owner'),
    setReachable: async (reachable) => {
      await admin(`ALTER DATABASE ${name} WITH ALLOW_CONNECTIONS ${reachable}`);
      if (reachable) return;
      await admin(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}' AND usename = 'dcompute_backend'`,
      );
    },
    drop: () => admin(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}
