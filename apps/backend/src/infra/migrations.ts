import { createHash, randomUUID } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { type Queryable, sqlStateOf } from './db.js';

/** The committed migrations, seen from src/infra and dist/infra alike. */
export const MIGRATIONS_FOLDER = join(import.meta.dirname, '../../prisma/migrations');

/** The advisory lock that Prisma's own `migrate deploy` takes: both can be used on one database. */
const PRISMA_LOCK_ID = 72707369;

/** SQLSTATE of a table that does not exist. */
const UNDEFINED_TABLE = '42P01';

const TABLE = `CREATE TABLE IF NOT EXISTS "_prisma_migrations" (
  "id" VARCHAR(36) PRIMARY KEY,
  "checksum" VARCHAR(64) NOT NULL,
  "finished_at" TIMESTAMPTZ,
  "migration_name" VARCHAR(255) NOT NULL,
  "logs" TEXT,
  "rolled_back_at" TIMESTAMPTZ,
  "started_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
  "applied_steps_count" INTEGER NOT NULL DEFAULT 0
)`;

/**
 * Applies the committed SQL migrations in the order of their names, each in a transaction, and writes Prisma's own
 * rows. Refuses to go on when an applied migration was edited. Returns the names it applied.
 */
export async function applyMigrations(options: { databaseUrl: string; folder: string }): Promise<string[]> {
  const client = new pg.Client({ connectionString: options.databaseUrl });
  await client.connect();
  try {
    await client.query('SELECT pg_advisory_lock($1)', [PRISMA_LOCK_ID]);
    await client.query(TABLE);
    const { rows } = await client.query<{ migration_name: string; checksum: string }>(
      'SELECT migration_name, checksum FROM "_prisma_migrations" WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL',
    );
    const checksums = new Map(rows.map((row) => [row.migration_name, row.checksum]));
    const applied: string[] = [];
    for (const migration of await readMigrations(options.folder)) {
      const known = checksums.get(migration.name);
      if (known === migration.checksum) continue;
      if (known !== undefined) {
        throw new Error(
          `Migration ${migration.name} was edited after it had been applied. Restore it and add a new one.`,
        );
      }
      await applyOne(client, migration);
      applied.push(migration.name);
    }
    return applied;
  } finally {
    await client.end();
  }
}

/** The names of committed migrations that this database lacks, or has in another version. */
export async function missingMigrations(db: Queryable, folder: string): Promise<string[]> {
  const known = await db
    .query<{ migration_name: string; checksum: string }>(
      'SELECT migration_name, checksum FROM "_prisma_migrations" WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL',
    )
    .catch((error: unknown) => {
      if (sqlStateOf(error) === UNDEFINED_TABLE) return [];
      throw error;
    });
  const checksums = new Map(known.map((row) => [row.migration_name, row.checksum]));
  const migrations = await readMigrations(folder);
  return migrations.filter(({ name, checksum }) => checksums.get(name) !== checksum).map(({ name }) => name);
}

interface Migration {
  readonly name: string;
  readonly sql: string;
  readonly checksum: string;
}

async function readMigrations(folder: string): Promise<Migration[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return await Promise.all(
    names.toSorted().map(async (name) => {
      const sql = await readFile(join(folder, name, 'migration.sql'), 'utf8');
      return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
    }),
  );
}

async function applyOne(client: pg.Client, migration: Migration): Promise<void> {
  await client.query('BEGIN');
  try {
    await client.query(migration.sql);
    await client.query(
      `INSERT INTO "_prisma_migrations" ("id", "checksum", "finished_at", "migration_name", "applied_steps_count")
       VALUES ($1, $2, now(), $3, 1)`,
      [randomUUID(), migration.checksum, migration.name],
    );
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    const detail = error instanceof Error ? error.message : String(error);
    throw new Error(`Migration ${migration.name} failed and was rolled back: ${detail}`, { cause: error });
  }
}
