import pg from 'pg';
import { inject } from 'vitest';
import type { TestDatabase } from './test-database.js';

/** An outage of one database for the application: its connections are cut, and no new one is let in. */
export class DatabaseOutage {
  private constructor(
    private readonly admin: pg.Client,
    private readonly name: string,
  ) {}

  static async begin(database: TestDatabase): Promise<DatabaseOutage> {
    const { port, password } = inject('cluster');
    const admin = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', password, database: 'postgres' });
    await admin.connect();
    const outage = new DatabaseOutage(admin, new URL(database.databaseUrl).pathname.slice(1));
    await admin.query(`ALTER DATABASE ${outage.name} CONNECTION LIMIT 0`);
    await admin.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND usename = 'dcompute_backend'`,
      [outage.name],
    );
    return outage;
  }

  async end(): Promise<void> {
    await this.admin.query(`ALTER DATABASE ${this.name} CONNECTION LIMIT -1`);
    await this.admin.end();
  }
}
