import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Admission, admitOneBackend } from '../src/infra/index.js';
import { type TestDatabase, createTestDatabase } from './test-database.js';

let database: TestDatabase;
let admissions: Admission[];
beforeEach(async () => {
  database = await createTestDatabase();
  admissions = [];
});
afterEach(async () => {
  await Promise.all(admissions.map((admission) => admission.release()));
  await database.drop();
});

async function admit(onLost = () => {}): Promise<Admission> {
  const admission = await admitOneBackend(database.databaseUrl, onLost);
  admissions.push(admission);
  return admission;
}

/** How many sessions hold an advisory lock on this database. */
async function holders(): Promise<number> {
  const owner = new pg.Client({ connectionString: database.ownerUrl });
  await owner.connect();
  try {
    const { rows } = await owner.query(
      `SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    );
    return rows.length;
  } finally {
    await owner.end();
  }
}

describe('one backend on a database', () => {
  it('keeps others out until it releases', async () => {
    const first = await admit();
    await expect(admit()).rejects.toThrow(/Another backend already works on this database/);
    await first.release();
    await admit();
  });

  it('has its place again after a restart of the database, without being asked to end', async () => {
    const onLost = vi.fn();
    await admit(onLost);
    await database.setReachable(false);
    await database.setReachable(true);
    await vi.waitFor(async () => expect(await holders()).toBe(1), { timeout: 20_000 });
    await expect(admit()).rejects.toThrow(/Another backend/);
    expect(onLost).not.toHaveBeenCalled();
  });

  it('is told to end when another one was faster after a restart', async () => {
    const onLost = vi.fn();
    await admit(onLost);
    const other = new pg.Client({ connectionString: database.ownerUrl });
    await other.connect();
    try {
      await database.setReachable(false);
      // The lock that admits one backend; the first one cannot come back for it before the database is reachable.
      const take = async () =>
        (await other.query<{ taken: boolean }>('SELECT pg_try_advisory_lock($1) AS taken', [0x64636265])).rows;
      await vi.waitFor(async () => expect(await take()).toEqual([{ taken: true }]), { timeout: 20_000 });
      await database.setReachable(true);
      await vi.waitFor(() => expect(onLost).toHaveBeenCalledOnce(), { timeout: 20_000 });
    } finally {
      await other.end();
    }
  });
});
