import { type UsageSegment, canonicalJson } from '@dcompute/shared-types';

/** Why a segment is no proof. It is acknowledged all the same: sent again it would be as wrong. */
export type SegmentDefect =
  | 'malformed'
  | 'foreign_node'
  | 'empty'
  | 'in_future'
  | 'bad_signature'
  | 'unknown_placement'
  | 'overlapping'
  | 'scattered';

/** The session that a segment came by. */
export interface SegmentSource {
  readonly nodeId: string;
  readonly bootId: string;
  /** The latest that the node's boot clock said. */
  readonly bootMs: number;
}

/** The beat that carries a segment is written after it, but the two clocks may be read in either order. */
const FUTURE_SLACK_MS = 5_000;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** Printable ASCII: ids of engines and boots are nothing else, and the database takes no NUL. */
const PLAIN = /^[\x21-\x7e]+$/;

/** What is wrong with a segment before anything else is looked at; null when nothing is. */
export function findDefect(segment: UsageSegment, source: SegmentSource): SegmentDefect | null {
  const { placement_id: placementId, incarnation, boot_id: bootId, n } = segment;
  if (![segment.node_id, segment.rental_id, placementId].every((id) => UUID.test(id))) return 'malformed';
  if (![bootId, segment.container_id].every((id) => PLAIN.test(id))) return 'malformed';
  // The id follows from the content, so that one node's ids can never meet another's.
  if (segment.segment_id !== `${placementId}:${incarnation}:${bootId}:${n}`) return 'malformed';
  if (segment.node_id !== source.nodeId) return 'foreign_node';
  if (segment.to_ms <= segment.from_ms) return 'empty';
  if (bootId === source.bootId && segment.to_ms > source.bootMs + FUTURE_SLACK_MS) return 'in_future';
  return null;
}

/** The text that a node signs: canonical JSON of all fields but the signature. */
export function segmentSigningText(segment: UsageSegment): string {
  const { signature: _, ...content } = segment;
  return canonicalJson(content);
}

/**
 * Parts the segments of one batch: each id once, and of those that overlap within one rental and boot only the first. A
 * rental has one container at a time, so its segments overlap never, whichever container they name.
 */
export function withoutOverlaps(segments: readonly UsageSegment[]): {
  kept: UsageSegment[];
  overlapping: UsageSegment[];
} {
  const known = new Set<string>();
  const kept: UsageSegment[] = [];
  const overlapping: UsageSegment[] = [];
  for (const segment of segments.toSorted(byRentalAndTime)) {
    if (known.has(segment.segment_id)) continue;
    known.add(segment.segment_id);
    const before = kept.at(-1);
    const overlaps = before && sameRun(before, segment) && before.to_ms > segment.from_ms;
    (overlaps ? overlapping : kept).push(segment);
  }
  return { kept, overlapping };
}

function sameRun(a: UsageSegment, b: UsageSegment): boolean {
  return a.rental_id === b.rental_id && a.boot_id === b.boot_id;
}

function byRentalAndTime(a: UsageSegment, b: UsageSegment): number {
  if (a.rental_id !== b.rental_id) return a.rental_id < b.rental_id ? -1 : 1;
  if (a.boot_id !== b.boot_id) return a.boot_id < b.boot_id ? -1 : 1;
  return a.from_ms - b.from_ms || a.n - b.n;
}
