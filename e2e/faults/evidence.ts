import type { Queryable } from './market.ts';

/** Half-open, in epoch milliseconds of the backend's clock. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** What a rental ought to cost, worked out anew from the evidence: by other code than the backend's, on the raw segments. */
export interface Recomputation {
  readonly proven: readonly Span[];
  readonly billableMs: number;
  readonly owedMicros: bigint;
  readonly segments: number;
  /** Segments that claim a time which another one claims, too. */
  readonly overlapping: number;
}

const MS_PER_HOUR = 3_600_000n;

/** Recomputes one rental. Every span of evidence is a set of milliseconds; the charge is their intersection, priced. */
export async function recompute(db: Queryable, rentalId: string): Promise<Recomputation> {
  const rows = async (sql: string): Promise<Record<string, unknown>[]> => (await db.query(sql, [rentalId])).rows;
  const segments = await rows(
    `SELECT s."bootId", s."fromMs" + c."offsetMs" AS "fromMs", s."toMs" + c."offsetMs" AS "toMs"
       FROM "UsageSegment" s JOIN "NodeClock" c ON c."nodeId" = s."nodeId" AND c."bootId" = s."bootId"
      WHERE s."rentalId" = $1 ORDER BY 2`,
  );
  const heard = await rows(
    `SELECT w."bootId", w."fromAt", w."toAt" FROM "NodeWindow" w JOIN "Rental" r ON r."nodeId" = w."nodeId" WHERE r."id" = $1`,
  );
  const probed = await rows(`SELECT "fromAt", "toAt" FROM "ProbeWindow" WHERE "rentalId" = $1`);
  const periods = await rows(
    `SELECT "readyAt" AS "fromAt", coalesce("stopDecidedAt", now()) AS "toAt" FROM "RunningPeriod" WHERE "rentalId" = $1`,
  );
  const rates = await rows(
    `SELECT "validFrom", ("totalPerHour" * 1000000)::bigint AS micros FROM "RentalRate" WHERE "rentalId" = $1 ORDER BY 1`,
  );
  const boots = [...new Set(segments.map((row) => row['bootId']))];
  const alive = boots.flatMap((boot) =>
    intersect(
      union(segments.filter((row) => row['bootId'] === boot).map(toSpan)),
      union(heard.filter((row) => row['bootId'] === boot).map(toSpan)),
    ),
  );
  const proven = intersect(intersect(union(alive), union(probed.map(toSpan))), union(periods.map(toSpan)));
  const starts = rates.map((row, i) => (i === 0 ? -Infinity : Number(row['validFrom'])));
  const product = rates.reduce((sum, row, i) => {
    const valid = { fromMs: starts[i] ?? -Infinity, toMs: starts[i + 1] ?? Infinity };
    return sum + BigInt(String(row['micros'])) * BigInt(lengthOf(intersect(proven, [valid])));
  }, 0n);
  return {
    proven,
    billableMs: lengthOf(proven),
    owedMicros: product / MS_PER_HOUR,
    segments: segments.length,
    overlapping: overlapsIn(segments.map(toSpan)),
  };
}

export function lengthOf(spans: readonly Span[]): number {
  return spans.reduce((sum, span) => sum + span.toMs - span.fromMs, 0);
}

export function union(spans: readonly Span[]): Span[] {
  const merged: Span[] = [];
  for (const span of spans.filter(({ fromMs, toMs }) => toMs > fromMs).toSorted((a, b) => a.fromMs - b.fromMs)) {
    const last = merged.at(-1);
    if (last && span.fromMs <= last.toMs)
      merged[merged.length - 1] = { fromMs: last.fromMs, toMs: Math.max(last.toMs, span.toMs) };
    else merged.push(span);
  }
  return merged;
}

/** Both must be unions. */
export function intersect(some: readonly Span[], others: readonly Span[]): Span[] {
  return some.flatMap((a) =>
    others
      .map((b) => ({ fromMs: Math.max(a.fromMs, b.fromMs), toMs: Math.min(a.toMs, b.toMs) }))
      .filter(({ fromMs, toMs }) => toMs > fromMs),
  );
}

function overlapsIn(ordered: readonly Span[]): number {
  return ordered.slice(1).filter((span, i) => span.fromMs < (ordered[i]?.toMs ?? 0)).length;
}

/** A row with `fromMs` and `toMs`, or with the moments `fromAt` and `toAt`. */
function toSpan(row: Record<string, unknown>): Span {
  return { fromMs: Number(row['fromMs'] ?? row['fromAt']), toMs: Number(row['toMs'] ?? row['toAt']) };
}
