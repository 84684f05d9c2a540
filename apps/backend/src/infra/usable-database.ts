import pg from 'pg';
import { BootError } from './boot-error.js';
import { MIGRATIONS_FOLDER, missingMigrations } from './migrations.js';

const CONNECT_LIMIT_MS = 10_000;

/** Throws a BootError unless the database answers and has every committed migration. */
export async function assertDatabaseUsable(databaseUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: CONNECT_LIMIT_MS });
  try {
    await client.connect();
  } catch (error) {
    throw new BootError(`DATABASE_URL: no connection to ${withoutPassword(databaseUrl)}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  try {
    const db = { query: async <R>(text: string): Promise<R[]> => (await client.query(text)).rows as R[] };
    const missing = await missingMigrations(db, MIGRATIONS_FOLDER);
    if (missing.length === 0) return;
    throw new BootError(
      `The database lacks migrations (${missing.join(', ')}). Apply them as its owner:\n` +
        '  MIGRATION_DATABASE_URL=postgresql://... node dist/commands/migrate.js',
    );
  } finally {
    await client.end();
  }
}

function withoutPassword(databaseUrl: string): string {
  return databaseUrl.replace(/\/\/([^:@/]*):[^@]*@/, '//$1@');
}

/** Node reports a refused connection to a name with several addresses as an AggregateError without a message. */
function messageOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
