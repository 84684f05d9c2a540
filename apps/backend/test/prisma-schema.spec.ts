import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readDatabase } from './database-facts.js';
import { type PrismaModels, readPrismaSchema } from './prisma-schema.js';
import { type TestDatabase, createTestDatabase } from './test-database.js';

let database: TestDatabase;
let db: pg.Client;
let actual: PrismaModels;
let declared: PrismaModels;

beforeAll(async () => {
  database = await createTestDatabase();
  db = new pg.Client({ connectionString: database.ownerUrl });
  await db.connect();
  actual = await readDatabase(db);
  declared = readPrismaSchema(await readFile(join(import.meta.dirname, '../prisma/schema.prisma'), 'utf8'));
});
afterAll(async () => {
  await db.end();
  await database.drop();
});

/** One fact of every table, in an order that does not matter. */
function factsOf<T>(
  models: PrismaModels,
  fact: (table: string) => Iterable<readonly [string, T]>,
): Record<string, Record<string, T>> {
  return Object.fromEntries([...models.tables.keys()].map((table) => [table, Object.fromEntries(fact(table))]));
}

describe('schema.prisma and the migrated database agree', () => {
  it('in tables', () => {
    expect([...declared.tables.keys()].toSorted()).toEqual([...actual.tables.keys()].toSorted());
  });

  it('in enums and the order of their values', () => {
    expect(Object.fromEntries(declared.enums)).toEqual(Object.fromEntries(actual.enums));
  });

  it('in columns: types, what may be null, and what has a default', () => {
    const columns = (models: PrismaModels) => factsOf(models, (table) => models.tables.get(table)?.columns ?? []);
    expect(columns(declared)).toEqual(columns(actual));
  });

  it('in primary and foreign keys', () => {
    const keys = (models: PrismaModels) =>
      factsOf<unknown>(models, (table) => [
        ['primary key', models.tables.get(table)?.primaryKey],
        ...(models.tables.get(table)?.foreignKeys ?? []),
      ]);
    expect(keys(declared)).toEqual(keys(actual));
  });

  it('in indexes: unique, columns, order', () => {
    const indexes = (models: PrismaModels) =>
      factsOf(models, (table) =>
        [...(models.tables.get(table)?.indexes ?? [])].map(
          ([name, { unique, columns, where }]) => [name, { unique, columns, partial: where !== null }] as const,
        ),
      );
    expect(indexes(declared)).toEqual(indexes(actual));
  });

  it('in the conditions of partial indexes, as the database itself reads them', async () => {
    const partial = [...declared.tables].flatMap(([table, { indexes }]) =>
      [...indexes].flatMap(([name, { where }]) => (where === null ? [] : [{ table, name, where }])),
    );
    expect(partial.length).toBeGreaterThan(10);
    for (const { table, name, where } of partial) {
      expect({ name, where: await asTheDatabaseReads(table, where) }).toEqual({
        name,
        where: actual.tables.get(table)?.indexes.get(name)?.where,
      });
    }
  });
});

/** PostgreSQL's own writing of a condition: it is given to an index that is taken back at once. */
async function asTheDatabaseReads(table: string, where: string): Promise<string | undefined> {
  await db.query('BEGIN');
  try {
    await db.query(`CREATE INDEX "as_read" ON "${table}" ((1)) WHERE ${where}`);
    const { rows } = await db.query<{ where: string }>(
      `SELECT pg_get_expr(indpred, indrelid) AS "where" FROM pg_index WHERE indexrelid = '"as_read"'::regclass`,
    );
    return rows[0]?.where;
  } finally {
    await db.query('ROLLBACK');
  }
}

it('a drift of any of these is seen', async () => {
  const drifts = [
    'ALTER TABLE "SshKey" ADD COLUMN "extra" text',
    'ALTER TABLE "SshKey" ALTER COLUMN "name" DROP NOT NULL',
    'ALTER TABLE "SshKey" ALTER COLUMN "name" TYPE varchar(9)',
    'ALTER TABLE "SshKey" ALTER COLUMN "createdAt" DROP DEFAULT',
    'DROP INDEX "SshKey_userId_fingerprint_key"; CREATE INDEX "SshKey_userId_fingerprint_key" ON "SshKey" ("userId", "fingerprint")',
    'DROP INDEX "PortLease_port_key"; CREATE UNIQUE INDEX "PortLease_port_key" ON "PortLease" ("proxyServerId", "port")',
    `ALTER TYPE "RunType" RENAME VALUE 'ssh' TO 'sshd'`,
    'ALTER TABLE "SshKey" DROP CONSTRAINT "SshKey_userId_fkey"',
    'CREATE TABLE "Extra" ("id" uuid PRIMARY KEY)',
  ];
  for (const drift of drifts) {
    await db.query('BEGIN');
    await db.query(drift);
    const changed = await readDatabase(db);
    await db.query('ROLLBACK');
    expect(changed, drift).not.toEqual(actual);
  }
});
