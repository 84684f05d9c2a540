import type { GuardProbe } from '@dcompute/shared-types';
import type { Tx } from '../../infra/index.js';
import { type Probe, type ProbeStateMs, nextProbeState } from './probe-state.js';
import { type Span, type StoredSpan, type WindowChanges, mergeSpans } from './window-merge.js';

/** A probe of a lease that its proxy server really has, by epoch milliseconds. */
export interface RentalProbe extends Probe {
  readonly rentalId: string;
}

/**
 * The probes that this guard may speak of: those of leases of its own proxy server. A guard whose clock is ahead proves
 * nothing about the future, so moments after `now` count as `now`.
 */
export async function ownProbes(
  tx: Tx,
  proxyServerId: string,
  probes: readonly GuardProbe[],
  now: Date,
): Promise<RentalProbe[]> {
  const leases = await tx.query<{ id: string; rentalId: string }>(
    `SELECT "id", "rentalId" FROM "PortLease" WHERE "proxyServerId" = $1 AND "id" = ANY ($2::uuid[])`,
    [proxyServerId, [...new Set(probes.map((probe) => probe.leaseId))]],
  );
  const rentalOf = new Map(leases.map((lease) => [lease.id, lease.rentalId]));
  return probes
    .filter((probe) => rentalOf.get(probe.leaseId) === probe.rentalId)
    .map((probe) => ({
      rentalId: probe.rentalId,
      atMs: Math.min(Date.parse(probe.at), now.getTime()),
      ok: probe.ok,
      failure: probe.ok ? null : (probe.failure ?? 'closed'),
    }));
}

/** A good probe proves its moment and `maxAgeMs` after it: the windows of a rental are the union of these. */
export async function extendProbeWindows(tx: Tx, probes: readonly RentalProbe[], maxAgeMs: number): Promise<void> {
  const spans = probes
    .filter((probe) => probe.ok)
    .map((probe) => ({ key: probe.rentalId, fromMs: probe.atMs, toMs: probe.atMs + maxAgeMs }));
  if (spans.length === 0) return;
  const stored = await tx.query<StoredRow>(
    `SELECT DISTINCT w."id", w."rentalId" AS "key", w."fromAt", w."toAt"
       FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS s(rental_id, from_at, to_at)
       JOIN "ProbeWindow" w ON w."rentalId" = s.rental_id AND w."fromAt" <= s.to_at AND w."toAt" >= s.from_at`,
    columnsOf(spans),
  );
  await writeChanges(tx, mergeSpans(stored.map(toStoredSpan), spans), {
    insert: `INSERT INTO "ProbeWindow" ("rentalId", "fromAt", "toAt", "lastOkAt")
             SELECT key::uuid, from_at, to_at, to_at - make_interval(secs => ${maxAgeMs / 1000})
               FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS s(key, from_at, to_at)`,
    extend: `UPDATE "ProbeWindow" w SET "fromAt" = s.from_at, "toAt" = s.to_at,
                    "lastOkAt" = s.to_at - make_interval(secs => ${maxAgeMs / 1000})
               FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS s(id, from_at, to_at) WHERE w."id" = s.id`,
    remove: `DELETE FROM "ProbeWindow" WHERE "id" = ANY ($1::uuid[])`,
  });
}

/** A guard that probed was alive: its liveness is the union of its probes' spans, good and failed ones alike. */
export async function extendGuardWindows(
  tx: Tx,
  component: string,
  atMs: readonly number[],
  maxAgeMs: number,
): Promise<void> {
  const spans = atMs.map((at) => ({ key: component, fromMs: at, toMs: at + maxAgeMs }));
  const stored = await tx.query<StoredRow>(
    `SELECT "id", "component" AS "key", "fromAt", "toAt" FROM "PlatformWindow"
      WHERE "component" = $1 AND "fromAt" <= $3 AND "toAt" >= $2 ORDER BY "fromAt"`,
    [component, new Date(Math.min(...atMs)), new Date(Math.max(...atMs) + maxAgeMs)],
  );
  await writeChanges(tx, mergeSpans(stored.map(toStoredSpan), spans), {
    insert: `INSERT INTO "PlatformWindow" ("component", "fromAt", "toAt")
             SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[])`,
    extend: `UPDATE "PlatformWindow" w SET "fromAt" = s.from_at, "toAt" = s.to_at
               FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS s(id, from_at, to_at) WHERE w."id" = s.id`,
    remove: `DELETE FROM "PlatformWindow" WHERE "id" = ANY ($1::uuid[])`,
  });
}

/** Writes what is known of the probes of each rental. */
export async function updateProbeStates(tx: Tx, probes: readonly RentalProbe[]): Promise<void> {
  const byRental = Map.groupBy(probes, (probe) => probe.rentalId);
  if (byRental.size === 0) return;
  const rows = await tx.query<StateRow>(
    `SELECT "rentalId", "lastAt", "lastOkAt", "failingSince", "failure" FROM "ProbeState" WHERE "rentalId" = ANY ($1::uuid[])`,
    [[...byRental.keys()]],
  );
  const before = new Map(rows.map((row) => [row.rentalId, toState(row)]));
  const after = [...byRental]
    .map(([rentalId, news]) => ({ rentalId, ...nextProbeState(before.get(rentalId) ?? null, news) }))
    .toSorted((a, b) => (a.rentalId < b.rentalId ? -1 : 1));
  await tx.query(
    `INSERT INTO "ProbeState" ("rentalId", "lastAt", "lastOkAt", "failingSince", "failure")
     SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::text[])
     ON CONFLICT ("rentalId") DO UPDATE SET "lastAt" = excluded."lastAt", "lastOkAt" = excluded."lastOkAt",
       "failingSince" = excluded."failingSince", "failure" = excluded."failure"`,
    [
      after.map((state) => state.rentalId),
      after.map((state) => new Date(state.lastAtMs)),
      after.map((state) => toDate(state.lastOkAtMs)),
      after.map((state) => toDate(state.failingSinceMs)),
      after.map((state) => state.failure),
    ],
  );
}

interface StoredRow {
  readonly id: string;
  readonly key: string;
  readonly fromAt: Date;
  readonly toAt: Date;
}

interface StateRow {
  readonly rentalId: string;
  readonly lastAt: Date;
  readonly lastOkAt: Date | null;
  readonly failingSince: Date | null;
  readonly failure: string | null;
}

async function writeChanges(
  tx: Tx,
  changes: WindowChanges,
  statements: { readonly insert: string; readonly extend: string; readonly remove: string },
): Promise<void> {
  if (changes.removed.length > 0) await tx.query(statements.remove, [changes.removed]);
  if (changes.extended.length > 0) {
    const [, from, to] = columnsOf(changes.extended);
    await tx.query(statements.extend, [changes.extended.map((span) => span.id), from, to]);
  }
  if (changes.inserted.length > 0) await tx.query(statements.insert, columnsOf(changes.inserted));
}

function columnsOf(spans: readonly Span[]): [string[], Date[], Date[]] {
  return [
    spans.map((span) => span.key),
    spans.map((span) => new Date(span.fromMs)),
    spans.map((span) => new Date(span.toMs)),
  ];
}

function toStoredSpan(row: StoredRow): StoredSpan {
  return { id: row.id, key: row.key, fromMs: row.fromAt.getTime(), toMs: row.toAt.getTime() };
}

function toState(row: StateRow): ProbeStateMs {
  return {
    lastAtMs: row.lastAt.getTime(),
    lastOkAtMs: row.lastOkAt?.getTime() ?? null,
    failingSinceMs: row.failingSince?.getTime() ?? null,
    failure: row.failure,
  };
}

function toDate(moment: number | null): Date | null {
  return moment === null ? null : new Date(moment);
}
