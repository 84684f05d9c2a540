import { parseAmountMicros } from '@dcompute/shared-types';
import type { Queryable } from '../../infra/index.js';
import type { RatedTime } from './charge.js';

/**
 * The billable time of rentals, by rate, up to `now`: cumulative since each rental began, all on the backend's clock.
 *
 *   the agent's running segments (its boot clock, mapped by the node's clock)
 *     INTERSECT the node's windows of the same boot (heartbeats)
 *     INTERSECT the rental's windows of good probes (the guard)
 *     INTERSECT its periods from proven ready to the decision to stop
 *
 * Sets of milliseconds have no order and no doubles, so how the evidence was delivered cannot matter (I6), and nothing
 * outside any of the four counts (I7). A rental without billable time has one row with 0 for each rate, or none.
 */
export async function billableTimes(
  db: Queryable,
  rentalIds: readonly string[],
  now: Date,
): Promise<Map<string, RatedTime[]>> {
  const rows = await db.query<{ rentalId: string; totalPerHour: string; billableMs: bigint }>(BILLABLE_TIMES, [
    rentalIds,
    now,
  ]);
  const byRental = Map.groupBy(rows, (row) => row.rentalId);
  const toTime = (row: (typeof rows)[number]): RatedTime => ({
    totalPerHourMicros: parseAmountMicros(row.totalPerHour),
    billableMs: row.billableMs,
  });
  return new Map([...byRental].map(([rentalId, rated]) => [rentalId, rated.map(toTime)]));
}

/** A moment of millisecond precision as whole milliseconds since 1970: exact, since `extract` gives a numeric. */
const ms = (moment: string): string => `(extract(epoch FROM ${moment}) * 1000)::bigint`;

const range = (from: string, to: string): string => `int8range(${from}, greatest(${from}, ${to}))`;

const BILLABLE_TIMES = `
SELECT rental.id AS "rentalId", rate."totalPerHour"::text AS "totalPerHour",
       coalesce((SELECT sum(upper(part) - lower(part)) FROM unnest(proven.during * int8multirange(rate.valid)) AS part), 0)::bigint AS "billableMs"
  FROM unnest($1::uuid[]) AS rental(id)
 CROSS JOIN LATERAL (
   SELECT min(p."readyAt") AS first_at, max(coalesce(p."stopDecidedAt", $2)) AS last_at,
          range_agg(${range(ms('p."readyAt"'), ms('least(p."stopDecidedAt", $2::timestamptz)'))}) AS during
     FROM "RunningPeriod" p WHERE p."rentalId" = rental.id
 ) period
 CROSS JOIN LATERAL (
   SELECT range_agg(${range(ms('w."fromAt"'), ms('w."toAt"'))}) AS during
     FROM "ProbeWindow" w
    WHERE w."rentalId" = rental.id AND w."toAt" > period.first_at AND w."fromAt" < period.last_at
 ) probed
 CROSS JOIN LATERAL (
   SELECT range_agg(on_boot.ran * on_boot.heard) AS during
     FROM (
       SELECT (SELECT range_agg(int8range(lower(part) + c."offsetMs", upper(part) + c."offsetMs"))
                 FROM unnest(run."ranMs") AS part) AS ran,
              (SELECT range_agg(${range(ms('w."fromAt"'), ms('w."toAt"'))}) FROM "NodeWindow" w
                WHERE w."nodeId" = run."nodeId" AND w."bootId" = run."bootId"
                  AND w."toAt" > period.first_at AND w."fromAt" < period.last_at) AS heard
         FROM "RentalRun" run
         JOIN "NodeClock" c ON c."nodeId" = run."nodeId" AND c."bootId" = run."bootId"
        WHERE run."rentalId" = rental.id
     ) on_boot
 ) alive
 CROSS JOIN LATERAL (SELECT alive.during * probed.during * period.during AS during) proven
 CROSS JOIN LATERAL (
   SELECT r."totalPerHour",
          int8range(CASE WHEN row_number() OVER by_start > 1 THEN ${ms('r."validFrom"')} END,
                    ${ms('lead(r."validFrom") OVER by_start')}) AS valid
     FROM "RentalRate" r WHERE r."rentalId" = rental.id
   WINDOW by_start AS (ORDER BY r."validFrom")
 ) rate`;
