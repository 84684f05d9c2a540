import { type KeyObject, verify } from 'node:crypto';
import { promisify } from 'node:util';
import type { UsageSegment } from '@dcompute/shared-types';
import type { Queryable } from '../../infra/index.js';
import {
  type SegmentDefect,
  type SegmentSource,
  findDefect,
  segmentSigningText,
  withoutOverlaps,
} from './usage-check.js';

/** On the thread pool: a batch of thousands of signatures must not hold up the event loop. */
const verifyAsync = promisify<null, Buffer, KeyObject, Buffer, boolean>(verify);

/** Segments of one node, as one of its sessions received them. */
export interface NodeSegments extends SegmentSource {
  readonly sessionEpoch: number;
  readonly publicKey: KeyObject;
  readonly segments: readonly UsageSegment[];
}

/** What became of a node's segments: every one that need not be sent again, and the refused ones among them. */
export interface SegmentOutcome {
  readonly nodeId: string;
  readonly settledIds: readonly string[];
  readonly storedRentalIds: readonly string[];
  readonly refused: ReadonlyMap<SegmentDefect, number>;
}

interface Checked {
  readonly source: NodeSegments;
  readonly sound: readonly UsageSegment[];
  readonly refused: readonly { readonly id: string; readonly defect: SegmentDefect }[];
}

/** Checks form, signature and overlap of one node's segments: all that needs no database. */
export async function checkSegments(source: NodeSegments): Promise<Checked> {
  const verdicts = await Promise.all(
    source.segments.map(async (segment) => {
      const defect =
        findDefect(segment, source) ?? ((await isSigned(segment, source.publicKey)) ? null : 'bad_signature');
      return { segment, defect } as const;
    }),
  );
  const { kept, overlapping } = withoutOverlaps(verdicts.filter(({ defect }) => !defect).map(({ segment }) => segment));
  const refused = verdicts.flatMap(({ segment, defect }) => (defect ? [{ id: segment.segment_id, defect }] : []));
  const overlaps = overlapping.map((segment) => ({ id: segment.segment_id, defect: 'overlapping' as const }));
  return { source, sound: kept, refused: [...refused, ...overlaps] };
}

async function isSigned(segment: UsageSegment, key: KeyObject): Promise<boolean> {
  return await verifyAsync(
    null,
    Buffer.from(segmentSigningText(segment)),
    key,
    Buffer.from(segment.signature, 'base64'),
  );
}

type StoreVerdict = 'stored' | 'known' | Extract<SegmentDefect, 'unknown_placement' | 'overlapping' | 'scattered'>;

/**
 * Pieces of running time of one rental on one boot: far above what stops and starts of a year make. Every charge reads
 * them all, so a host must not be able to make more.
 */
const MOST_PIECES = 10_000;

/**
 * Stores checked segments in one statement. A segment counts only for a placement that this node has, only where it
 * overlaps nothing that is stored, and only while its rental is not in too many pieces; one that is known changes nothing. Segments of a session that is no longer its node's
 * latest are neither stored nor settled (R8). Rows are inserted in the order of rentals, as all locks of rentals are.
 */
export async function storeSegments(db: Queryable, checked: readonly Checked[], now: Date): Promise<SegmentOutcome[]> {
  const rows = checked.flatMap(({ source, sound }) =>
    sound.map((segment) => ({ epoch: source.sessionEpoch, segment })),
  );
  const verdicts = await db.query<{ segmentId: string; verdict: StoreVerdict }>(STORE_SEGMENTS, [
    rows.map(({ segment }) => segment.segment_id),
    rows.map(({ segment }) => segment.node_id),
    rows.map(({ epoch }) => epoch),
    rows.map(({ segment }) => segment.rental_id),
    rows.map(({ segment }) => segment.placement_id),
    rows.map(({ segment }) => segment.incarnation),
    rows.map(({ segment }) => segment.container_id),
    rows.map(({ segment }) => segment.boot_id),
    rows.map(({ segment }) => segment.n),
    rows.map(({ segment }) => segment.from_ms),
    rows.map(({ segment }) => segment.to_ms),
    rows.map(({ segment }) => segment.signature),
    now,
  ]);
  const verdictOf = new Map(verdicts.map((row) => [row.segmentId, row.verdict]));
  return checked.map((node) => outcomeOf(node, verdictOf));
}

function outcomeOf({ source, sound, refused }: Checked, verdictOf: ReadonlyMap<string, StoreVerdict>): SegmentOutcome {
  const judged = sound.flatMap((segment) => {
    const verdict = verdictOf.get(segment.segment_id);
    return verdict ? [{ segment, verdict }] : [];
  });
  const defects: SegmentDefect[] = [
    ...refused.map(({ defect }) => defect),
    ...judged.flatMap(({ verdict }) => (verdict === 'stored' || verdict === 'known' ? [] : [verdict])),
  ];
  const counts = new Map<SegmentDefect, number>();
  for (const defect of defects) counts.set(defect, (counts.get(defect) ?? 0) + 1);
  const stored = judged.filter(({ verdict }) => verdict === 'stored').map(({ segment }) => segment.rental_id);
  return {
    nodeId: source.nodeId,
    settledIds: [...judged.map(({ segment }) => segment.segment_id), ...refused.map(({ id }) => id)],
    storedRentalIds: [...new Set(stored)],
    refused: counts,
  };
}

/** Stored segments of a rental and boot never overlap, so the last one that begins before the end of a new one decides. */
const STORE_SEGMENTS = `
WITH input AS (
  SELECT i.*, EXISTS (SELECT FROM "Placement" p WHERE p."id" = i.placement_id AND p."nodeId" = i.node_id
                         AND p."rentalId" = i.rental_id AND p."incarnation" >= i.incarnation) AS placed,
         before."segmentId" AS before_id, before."toMs" AS before_to
    FROM unnest($1::text[], $2::uuid[], $3::int[], $4::uuid[], $5::uuid[], $6::int[], $7::text[], $8::text[], $9::bigint[],
                $10::bigint[], $11::bigint[], $12::text[])
      AS i(segment_id, node_id, epoch, rental_id, placement_id, incarnation, container_id, boot_id, n, from_ms, to_ms, signature)
    JOIN "HostNode" node ON node."id" = i.node_id AND node."sessionEpoch" = i.epoch
    LEFT JOIN LATERAL (
      SELECT u."segmentId", u."toMs" FROM "UsageSegment" u
       WHERE u."rentalId" = i.rental_id AND u."bootId" = i.boot_id AND u."fromMs" < i.to_ms
       ORDER BY u."fromMs" DESC LIMIT 1
    ) before ON true
), scattered AS (
  SELECT run."rentalId", run."bootId"
    FROM (SELECT DISTINCT rental_id, node_id, boot_id FROM input) i
    JOIN "RentalRun" run ON run."rentalId" = i.rental_id AND run."nodeId" = i.node_id AND run."bootId" = i.boot_id
   WHERE (SELECT count(*) FROM unnest(run."ranMs")) >= ${MOST_PIECES}
), judged AS (
  SELECT input.*, CASE
      WHEN EXISTS (SELECT FROM "UsageSegment" u WHERE u."segmentId" = input.segment_id) THEN 'known'
      WHEN NOT placed THEN 'unknown_placement'
      WHEN before_to > from_ms THEN 'overlapping'
      WHEN (rental_id, boot_id) IN (SELECT "rentalId", "bootId" FROM scattered) THEN 'scattered'
      ELSE 'stored' END AS verdict
    FROM input
), stored AS (
  INSERT INTO "UsageSegment" ("segmentId", "nodeId", "rentalId", "placementId", "incarnation", "containerId", "bootId", "n",
      "fromMs", "toMs", "signature", "receivedAt")
  SELECT segment_id, node_id, rental_id, placement_id, incarnation, container_id, boot_id, n, from_ms, to_ms, signature, $13
    FROM judged WHERE verdict = 'stored' ORDER BY rental_id, boot_id, from_ms
  ON CONFLICT DO NOTHING
)
SELECT segment_id AS "segmentId", verdict FROM judged`;
