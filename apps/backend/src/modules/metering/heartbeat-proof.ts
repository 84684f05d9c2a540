import type { Tx } from '../../infra/index.js';
import type { BeatSpan } from './beat-span.js';

/** Spans of one node's heartbeats, as one of its sessions received them. */
export interface NodeBeats {
  readonly nodeId: string;
  readonly sessionEpoch: number;
  readonly spans: readonly BeatSpan[];
}

/**
 * Extends the windows of nodes, all in one statement. The first span of a node continues its window before it when that is
 * of the same boot and the silence between was below the bridge; every other span is a window of its own. A span that is
 * known as a window already only extends it, so a batch may be given twice. A beat covers `coverMs` more. Beats of a
 * session that is no longer the node's latest are left out (R8).
 */
export async function extendNodeWindows(
  tx: Tx,
  beats: readonly NodeBeats[],
  limits: { readonly coverMs: number; readonly bridgeMs: number },
): Promise<void> {
  const rows = rowsOf(beats);
  if (rows.length === 0) return;
  // A bridge below the cover would leave windows that overlap.
  const bridgeMs = Math.max(limits.bridgeMs, limits.coverMs);
  await tx.query(EXTEND_NODE_WINDOWS, [
    rows.map((row) => row.nodeId),
    rows.map((row) => row.sessionEpoch),
    rows.map((row) => row.bootId),
    rows.map((row) => new Date(row.firstAtMs)),
    rows.map((row) => new Date(row.lastAtMs + limits.coverMs)),
    rows.map((row) => new Date(row.firstAtMs + limits.coverMs - bridgeMs)),
    rows.map((row) => row.isFirst),
  ]);
}

/** `reached_to`: a window that ends after it is near enough to be continued by a node's first span. */
const EXTEND_NODE_WINDOWS = `
WITH span AS (
  SELECT i.* FROM unnest($1::uuid[], $2::int[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::bool[])
               AS i(node_id, epoch, boot_id, first_at, covered_to, reached_to, is_first)
    JOIN "HostNode" n ON n."id" = i.node_id AND n."sessionEpoch" = i.epoch
), placed AS (
  SELECT span.*, w."id" AS window_id
    FROM span LEFT JOIN LATERAL (
      SELECT x."id", x."bootId", x."fromAt", x."toAt" FROM "NodeWindow" x
       WHERE x."nodeId" = span.node_id AND x."fromAt" <= span.first_at ORDER BY x."fromAt" DESC LIMIT 1
    ) w ON w."bootId" = span.boot_id AND (w."fromAt" = span.first_at OR (span.is_first AND w."toAt" > span.reached_to))
), extended AS (
  UPDATE "NodeWindow" w SET "toAt" = greatest(w."toAt", placed.covered_to) FROM placed WHERE w."id" = placed.window_id
)
INSERT INTO "NodeWindow" ("nodeId", "bootId", "fromAt", "toAt")
SELECT node_id, boot_id, first_at, covered_to FROM placed WHERE window_id IS NULL ORDER BY node_id, first_at`;

/** The smallest offset is that of the last half hour to hour: the present half hour and the whole one before it. */
const HALF_HOUR_MS = 1_800_000;

/**
 * Maps boot clocks to the backend's: the offset is the smallest `receivedAt - bootMs` of the last hour, since delay only
 * adds to it. Old smallest values run out, because the clocks drift. Clocks that do not change are not written.
 */
export async function adjustNodeClocks(tx: Tx, beats: readonly NodeBeats[], now: Date): Promise<void> {
  const smallest = new Map<string, { nodeId: string; sessionEpoch: number; bootId: string; offsetMs: number }>();
  for (const { nodeId, sessionEpoch, bootId, offsetMs } of rowsOf(beats)) {
    const key = `${nodeId}\n${bootId}`;
    const known = smallest.get(key);
    if (!known || offsetMs < known.offsetMs) smallest.set(key, { nodeId, sessionEpoch, bootId, offsetMs });
  }
  const rows = [...smallest.values()];
  if (rows.length === 0) return;
  await tx.query(
    `INSERT INTO "NodeClock" AS c ("nodeId", "bootId", "offsetMs", "recentOffsetMs", "recentSince", "updatedAt")
     SELECT i.node_id, i.boot_id, i.offset_ms, i.offset_ms, $5, $5
       FROM unnest($1::uuid[], $2::int[], $3::text[], $4::bigint[]) AS i(node_id, epoch, boot_id, offset_ms)
       JOIN "HostNode" n ON n."id" = i.node_id AND n."sessionEpoch" = i.epoch
       LEFT JOIN "NodeClock" k ON k."nodeId" = i.node_id AND k."bootId" = i.boot_id
      WHERE k."nodeId" IS NULL OR k."recentSince" IS NULL OR i.offset_ms < k."recentOffsetMs"
         OR k."recentSince" <= $5::timestamptz - make_interval(secs => $6::float8 / 1000)
      ORDER BY i.node_id, i.boot_id
     ON CONFLICT ("nodeId", "bootId") DO UPDATE SET
       "offsetMs" = CASE
         WHEN c."recentSince" <= $5::timestamptz - make_interval(secs => $6::float8 / 500) THEN excluded."offsetMs"
         WHEN c."recentSince" <= $5::timestamptz - make_interval(secs => $6::float8 / 1000)
           THEN least(c."recentOffsetMs", excluded."offsetMs")
         ELSE least(c."offsetMs", excluded."offsetMs") END,
       "recentOffsetMs" = CASE WHEN c."recentSince" > $5::timestamptz - make_interval(secs => $6::float8 / 1000)
                               THEN least(c."recentOffsetMs", excluded."offsetMs") ELSE excluded."offsetMs" END,
       "recentSince" = CASE WHEN c."recentSince" > $5::timestamptz - make_interval(secs => $6::float8 / 1000)
                            THEN c."recentSince" ELSE $5 END,
       "updatedAt" = $5`,
    [
      rows.map((row) => row.nodeId),
      rows.map((row) => row.sessionEpoch),
      rows.map((row) => row.bootId),
      rows.map((row) => row.offsetMs),
      now,
      HALF_HOUR_MS,
    ],
  );
}

function rowsOf(beats: readonly NodeBeats[]) {
  return beats.flatMap(({ nodeId, sessionEpoch, spans }) =>
    spans.map((span, index) => ({ nodeId, sessionEpoch, isFirst: index === 0, ...span })),
  );
}
