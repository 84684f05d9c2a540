import { waitFor } from '../../tools/launch/wait.mjs';
import type { Row, StartCase } from './case.ts';
import { type FaultMarket, type RentalView, containersOf, docker, rent, view, withDatabase } from './market.ts';
import { freeze } from './parts.ts';
import { StalledRegistry } from './stalled-registry.ts';
import { judgeLedger, seconds } from './run-case.ts';
import { withBackendSettings } from './settings.ts';
import { untilWell } from './well.ts';

/** Rents under a fault, waits for the end with its reason, deletes, lets the fault end, and judges. Never throws. */
export async function runStartCase(market: FaultMarket, fault: StartCase): Promise<Row> {
  const begin = Date.now();
  const failures: string[] = [];
  const row = { name: fault.name, renterSaw: '', convergedMs: null as number | null, charge: '', tookMs: 0 };
  try {
    await withBackendSettings(market, fault.env ?? {}, async () => {
      Object.assign(row, await startUnder(market, fault, failures));
    });
  } catch (error) {
    failures.push((error as Error).message);
  }
  return { ...row, failures, tookMs: Date.now() - begin };
}

async function startUnder(market: FaultMarket, fault: StartCase, failures: string[]): Promise<Partial<Row>> {
  await untilWell(market, null, Date.now(), 60_000);
  const { starting } = fault;
  const registry = starting.stalledRegistry ? await StalledRegistry.start() : undefined;
  const thaws: (() => void)[] = [];
  let ended: RentalView;
  let id: string;
  const begin = Date.now();
  try {
    if (starting.vanishesIn === 'scheduled') thaws.push(freeze(market, 'agent'));
    for (const part of starting.frozen) thaws.push(freeze(market, part));
    id = await rent(market, registry ? { image: registry.image } : {});
    if (starting.vanishesIn && starting.vanishesIn !== 'scheduled') {
      await waitFor(`phase ${starting.vanishesIn}`, async () => isAt(await view(market, id), starting.vanishesIn), {
        timeoutMs: 20_000,
        intervalMs: 20,
      });
      thaws.push(freeze(market, 'agent'));
    }
    ended = await waitFor('the end of the start', async () => failed(await view(market, id)), { timeoutMs: 40_000 });
    // Deleting works whatever the node does.
    await market.renter.delete(`/api/v1/rentals/${id}`).catch((error: Error) => {
      if (!/rental\.(already_ended|ended|not_active)/.test(error.message)) failures.push(`delete: ${error.message}`);
    });
  } finally {
    for (const thaw of thaws.toReversed()) thaw();
    await registry?.stop();
  }
  const liftedAt = Date.now();
  await judgeEnd(market, id, ended, fault, failures);
  return {
    renterSaw: `${ended.status} (${String(ended.endReason)}) after ${seconds(liftedAt - begin)}`,
    convergedMs: Date.now() - liftedAt,
    charge: `${ended.chargedTotal} = 0`,
  };
}

/** While Docker is paused the node may still be at any step before the container. */
function isAt(rental: RentalView, phase: string | undefined): boolean {
  if (rental.phase === phase) return true;
  return phase === 'creating' && (rental.phase === 'pulling' || rental.phase === 'starting');
}

function failed(rental: RentalView): RentalView | undefined {
  if (rental.status === 'RUNNING') throw new Error('it runs');
  return ['FAILED', 'STOPPED', 'TERMINATED'].includes(rental.status) ? rental : undefined;
}

async function judgeEnd(
  market: FaultMarket,
  id: string,
  ended: RentalView,
  fault: StartCase,
  failures: string[],
): Promise<void> {
  if (!fault.reasons.includes(String(ended.endReason)))
    failures.push(`ended by ${String(ended.endReason)}, not ${fault.reasons.join(' or ')}`);
  if (Number(ended.chargedTotal) !== 0) failures.push(`charged ${ended.chargedTotal} for a start that failed`);
  const nothingLeft = async (): Promise<boolean> => {
    if ((await containersOf(market, id)).size > 0) throw new Error('a container');
    if (await docker(market, 'network', 'ls', '--quiet', '--filter', `name=dc-${id}`)) throw new Error('a network');
    const { rows } = await withDatabase(
      market,
      async (db) =>
        await db.query(
          `SELECT (SELECT count(*) FROM "PortLease" WHERE "rentalId" = $1 AND "state" = 'live')::int AS leases,
                  (SELECT count(*) FROM "CapacityAllocation" WHERE "rentalId" = $1 AND "diskReleasedAt" IS NULL)::int AS slices,
                  (SELECT coalesce(sum("amount"), 0) FROM "Hold" WHERE "rentalId" = $1)::text AS held`,
          [id],
        ),
    );
    const [{ leases, slices, held } = {}] = rows;
    if (leases !== 0 || slices !== 0 || Number(held) !== 0)
      throw new Error(`${String(leases)} leases, ${String(slices)} slices, ${String(held)} held`);
    return true;
  };
  await waitFor('nothing to be left', nothingLeft, { timeoutMs: 40_000, intervalMs: 200 }).catch((error: Error) =>
    failures.push(error.message),
  );
  await untilWell(market, null, Date.now(), 60_000).catch((error: Error) => failures.push(error.message));
  await judgeLedger(market, failures);
}
