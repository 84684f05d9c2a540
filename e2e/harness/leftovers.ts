import pg from 'pg';
import { expect, inject } from 'vitest';
import { waitFor } from '../../tools/launch/wait.mjs';
import { containersOf, docker } from './docker.js';

/** What a rental still holds anywhere: all zero once it has ended. */
interface Leftovers {
  readonly containers: number;
  readonly networks: number;
  readonly liveLeases: number;
  readonly allocations: number;
  readonly heldMicros: number;
}

const NOTHING: Leftovers = { containers: 0, networks: 0, liveLeases: 0, allocations: 0, heldMicros: 0 };

/** Counts what is left of a rental on the engine and in the database. */
async function leftoversOf(rentalId: string): Promise<Leftovers> {
  const networks = (await docker('network', 'ls', '--filter', `name=dc-${rentalId}`, '--format', '{{.Name}}'))
    .split('\n')
    .filter(Boolean);
  const [row] = await query<{ liveLeases: number; allocations: number; heldMicros: number }>(
    `SELECT (SELECT count(*) FROM "PortLease" WHERE "rentalId" = $1 AND "state" = 'live')::int AS "liveLeases",
            ((SELECT count(*) FROM "CapacityAllocation" WHERE "rentalId" = $1 AND "diskReleasedAt" IS NULL)
             + (SELECT count(*) FROM "GpuAllocation" WHERE "rentalId" = $1 AND "releasedAt" IS NULL))::int AS "allocations",
            coalesce((SELECT "amount" * 1000000 FROM "Hold" WHERE "rentalId" = $1), 0)::int AS "heldMicros"`,
    [rentalId],
  );
  if (!row) throw new Error('the database did not answer');
  return { containers: (await containersOf(rentalId)).length, networks: networks.length, ...row };
}

/** Waits until nothing is left of a rental; its money may take a tick longer than its container. */
export async function expectNothingLeft(rentalId: string): Promise<void> {
  const gone = async (): Promise<boolean> => Object.values(await leftoversOf(rentalId)).every((count) => count === 0);
  await waitFor('nothing to be left', gone, { timeoutMs: 30_000, intervalMs: 200 }).catch(() => undefined);
  expect(await leftoversOf(rentalId)).toEqual(NOTHING);
}

/** Looks into the market's database. */
async function query<R extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<R[]> {
  const client = new pg.Client({ connectionString: inject('market').databaseUrl });
  await client.connect();
  try {
    return (await client.query<R>(text, values)).rows;
  } finally {
    await client.end();
  }
}
