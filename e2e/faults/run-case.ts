import { setTimeout as delay } from 'node:timers/promises';
import { waitForRental } from '../../tools/launch/rental-life.mjs';
import { waitFor } from '../../tools/launch/wait.mjs';
import type { FaultCase, Row } from './case.ts';
import { READ_COUNTER, readCounter } from './counter.ts';
import { intersect, lengthOf, recompute } from './evidence.ts';
import { CONVERGE_MS, COVER_MS, HEARTBEAT_MS, SILENCE_MS } from './limits.ts';
import { type FaultMarket, type RentalView, containersOf, logIn, rent, sshTo, view, withDatabase } from './market.ts';
import { UsedSession } from './session.ts';
import { takeStep } from './steps.ts';
import { withBackendSettings } from './settings.ts';
import { untilWell } from './well.ts';

/** A rental with its open session, and what was seen of both. */
interface Watched {
  readonly rental: RentalView;
  readonly session: UsedSession;
  readonly before: Map<string, string | null>;
  faultAt: number;
  liftedAt: number;
  loginDuringMs: number | null | undefined;
}

/** Rents, opens a session, lets the fault happen, waits until all is well again, and judges. Never throws. */
export async function runCase(market: FaultMarket, fault: FaultCase): Promise<Row> {
  const begin = Date.now();
  const failures: string[] = [];
  const row = { name: fault.name, renterSaw: '', convergedMs: null as number | null, charge: '', tookMs: 0 };
  try {
    await withBackendSettings(market, fault.env ?? {}, async () => {
      const watched = await openRental(market, fault);
      try {
        const others = await letItHappen(market, fault, watched, failures);
        row.convergedMs = await convergence(market, fault, watched, failures);
        row.renterSaw = await judgeRenter(market, fault, watched, failures);
        for (const id of others) await market.renter.delete(`/api/v1/rentals/${id}`);
      } finally {
        watched.session.end();
      }
      row.charge = await judgeCharge(market, fault, watched, failures);
    });
  } catch (error) {
    failures.push((error as Error).message);
  }
  return { ...row, failures, tookMs: Date.now() - begin };
}

async function openRental(market: FaultMarket, fault: FaultCase): Promise<Watched> {
  await untilWell(market, null, Date.now(), 60_000);
  const id = await rent(market, fault.rent ?? {});
  const rental = (await waitForRental(market.renter, id, ['RUNNING'], { timeoutMs: 60_000 })) as RentalView;
  const session = await UsedSession.open(sshTo(market, rental));
  const charged = async (): Promise<boolean> => (await view(market, id)).billableMs > 1000;
  await waitFor('a first charge', charged, { timeoutMs: 30_000, intervalMs: 200 });
  const before = await containersOf(market, id);
  return { rental, session, before, faultAt: 0, liftedAt: 0, loginDuringMs: undefined };
}

async function letItHappen(
  market: FaultMarket,
  fault: FaultCase,
  watched: Watched,
  failures: string[],
): Promise<string[]> {
  const others: string[] = [];
  const during = async (): Promise<void> => {
    if (!fault.logIn) return;
    const begin = Date.now();
    watched.loginDuringMs = await logIn(market, watched.rental, 'true').then(
      () => Date.now() - begin,
      (error: Error) => (failures.push(`no log-in during the fault: ${error.message}`), null),
    );
  };
  const context = { market, rentalId: watched.rental.id, renterId: market.renter.user.id, during, others, failures };
  watched.faultAt = Date.now();
  for (const step of fault.steps) await takeStep(step, context);
  watched.liftedAt = Date.now();
  return others;
}

/** Waits until everything is as wished again; returns how long that took after the fault was lifted. */
async function convergence(
  market: FaultMarket,
  fault: FaultCase,
  { rental, liftedAt }: Watched,
  failures: string[],
): Promise<number | null> {
  const limitMs = fault.convergeMs ?? CONVERGE_MS;
  try {
    if (fault.endsBy) {
      const ended = await waitFor('the end of the rental', async () => await endedRental(market, rental.id), {
        timeoutMs: 60_000,
      });
      if (ended.endReason !== fault.endsBy) failures.push(`ended by ${ended.endReason}, not ${fault.endsBy}`);
    }
    await untilWell(market, fault.endsBy ? null : rental.id, liftedAt, 90_000);
  } catch (error) {
    failures.push(`not well again: ${(error as Error).message}`);
    return null;
  }
  const tookMs = Date.now() - liftedAt;
  if (tookMs > limitMs) failures.push(`all was well only after ${tookMs} ms, not ${limitMs}`);
  return tookMs;
}

async function endedRental(market: FaultMarket, id: string): Promise<RentalView | undefined> {
  const rental = await view(market, id);
  return ['STOPPED', 'TERMINATED', 'FAILED'].includes(rental.status) ? rental : undefined;
}

async function judgeRenter(
  market: FaultMarket,
  fault: FaultCase,
  watched: Watched,
  failures: string[],
): Promise<string> {
  const { rental, session, before, faultAt, liftedAt, loginDuringMs } = watched;
  const silenceMs = session.longestSilenceMs;
  const seen = [session.closed ? 'session ended' : `session open, longest silence ${seconds(silenceMs)}`];
  const allowedMs = fault.session === 'lives' ? SILENCE_MS : liftedAt - faultAt + SILENCE_MS;
  if (fault.session === 'lives' || fault.session === 'pauses') {
    if (session.closed) failures.push('the session ended');
    else if (silenceMs > allowedMs) failures.push(`the session was silent for ${silenceMs} ms`);
  }
  if (fault.session === 'ends' && !session.closed) failures.push('the session is still open');
  if (typeof loginDuringMs === 'number') seen.push(`new log-in meanwhile in ${seconds(loginDuringMs)}`);
  if (fault.endsBy) return [...seen, `ended: ${fault.endsBy}`].join('; ');

  const after = await containersOf(market, rental.id);
  if (fault.runs === undefined && JSON.stringify([...after]) !== JSON.stringify([...before]))
    failures.push(`the container is not the same: ${JSON.stringify([...before])} became ${JSON.stringify([...after])}`);
  const text = await logIn(market, rental, READ_COUNTER, 30_000);
  const runs = readCounter(text);
  const gapMs = Math.max(...runs.map(({ longestGapMs }) => longestGapMs));
  if (runs.length !== (fault.runs ?? 1)) failures.push(`the counter ran ${runs.length} times`);
  if (!runs.every(({ whole }) => whole)) failures.push('the counter has holes');
  if (gapMs > SILENCE_MS) failures.push(`the counter stood still for ${gapMs} ms`);
  return [...seen, `counter ${runs.map(({ ticks }) => ticks).join(' + ')} without a hole`].join('; ');
}

/** Deletes the rental, waits for its last charge, and works everything out anew. */
async function judgeCharge(
  market: FaultMarket,
  fault: FaultCase,
  watched: Watched,
  failures: string[],
): Promise<string> {
  const { rental, faultAt, liftedAt } = watched;
  await market.renter.delete(`/api/v1/rentals/${rental.id}`).catch(() => undefined);
  await waitForRental(market.renter, rental.id, ['TERMINATED', 'FAILED'], { timeoutMs: 60_000 });
  const goneBy = Date.now() + 10_000 + 2 * HEARTBEAT_MS;
  while ((await containersOf(market, rental.id)).size > 0) {
    if (Date.now() > goneBy) {
      failures.push('I10: a container is left of a deleted rental');
      break;
    }
    await delay(200);
  }
  const settled = await waitFor(
    'the last charge',
    async () => {
      const now = await view(market, rental.id);
      return now.settledAt !== null && now;
    },
    { timeoutMs: 60_000 },
  );
  const again = await withDatabase(market, async (db) => await recompute(db, rental.id));
  const charged = BigInt(settled.chargedTotal.replace('.', ''));
  if (charged !== again.owedMicros)
    failures.push(`I6: charged ${charged} micro-dollars, recomputed ${again.owedMicros}`);
  if (settled.billableMs !== again.billableMs)
    failures.push(`I6: billable ${settled.billableMs} ms, recomputed ${again.billableMs}`);
  if (again.overlapping > 0) failures.push(`${again.overlapping} segments claim a time twice`);
  if (fault.freeOfCharge) {
    const gap = { fromMs: faultAt + COVER_MS, toMs: liftedAt };
    const paidMs = lengthOf(intersect(again.proven, [gap]));
    if (paidMs > 0) failures.push(`${paidMs} ms of the gap were charged`);
  }
  await judgeLedger(market, failures);
  return `${settled.chargedTotal} = ${dollars(again.owedMicros)} (${seconds(again.billableMs)} of ${seconds(lifeMs(settled))})`;
}

/** I1 to I5, I8 and I9, as the operator's own check says. */
export async function judgeLedger(market: FaultMarket, failures: string[]): Promise<void> {
  const { invariants, ok } = await market.operator.get('/api/v1/operator/ledger/check');
  const broken = (invariants as { id: string; ok: boolean; detail: string }[]).filter((invariant) => !invariant.ok);
  if (!ok) failures.push(...broken.map(({ id, detail }) => `${id}: ${detail}`));
}

const lifeMs = ({ readyAt, stopDecidedAt }: RentalView): number =>
  Date.parse(stopDecidedAt ?? '') - Date.parse(readyAt ?? '');
export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
const dollars = (micros: bigint): string => `${micros / 1_000_000n}.${String(micros % 1_000_000n).padStart(6, '0')}`;
