import { type Heartbeat, type UsageSegment } from '@dcompute/shared-types';
import { type BeatSpan, type EvidenceBatch, foldBeat } from '../modules/metering/index.js';
import type { NodeSeen, NodeSession } from '../modules/nodes/index.js';

/** Segments of one session that wait to be recorded; its agent sends again what found no room. */
const MAX_SEGMENTS = 1000;

interface SessionEvidence {
  readonly session: NodeSession;
  spans: BeatSpan[];
  readonly segments: Map<string, UsageSegment>;
  bootMs: number;
  seen: NodeSeen | undefined;
}

/** What was heard since the last flush. */
export interface HeardBatch extends EvidenceBatch {
  readonly seen: readonly NodeSeen[];
}

/**
 * Gathers what heartbeats prove until it is recorded for all nodes at once. A batch stays here until `settle` says that it
 * was recorded, and while the database is away the memory that a session takes is bounded.
 */
export class EvidenceBuffer {
  readonly #sessions = new Map<NodeSession, SessionEvidence>();

  constructor(private readonly bridgeMs: number) {}

  /** Takes one heartbeat. One without a boot clock shows that the node lives and proves nothing. */
  hear(session: NodeSession, beat: Heartbeat, receivedAtMs: number): void {
    const known = this.#sessions.get(session);
    const evidence = known ?? { session, spans: [], segments: new Map(), bootMs: 0, seen: undefined };
    if (!known) this.#sessions.set(session, evidence);
    const { nodeId, sessionEpoch, bootId } = session;
    evidence.seen = { nodeId, sessionEpoch, seenAt: new Date(receivedAtMs), status: beat.status };
    if (beat.boot_id === undefined || beat.boot_ms === undefined) return;
    evidence.spans = foldBeat(evidence.spans, { bootId, bootMs: beat.boot_ms, receivedAtMs }, this.bridgeMs);
    evidence.bootMs = Math.max(evidence.bootMs, beat.boot_ms);
    for (const segment of beat.usage) {
      if (evidence.segments.size < MAX_SEGMENTS) evidence.segments.set(segment.segment_id, segment);
    }
  }

  /** Everything that waits. It stays in the buffer until it is settled. */
  take(): HeardBatch {
    const heard = [...this.#sessions.values()];
    return {
      beats: heard
        .filter(({ spans }) => spans.length > 0)
        .map(({ session: { nodeId, sessionEpoch }, spans }) => ({ nodeId, sessionEpoch, spans })),
      segments: heard
        .filter(({ segments }) => segments.size > 0)
        .map(({ session, bootMs, segments }) => ({
          nodeId: session.nodeId,
          sessionEpoch: session.sessionEpoch,
          bootId: session.bootId,
          publicKey: session.publicKey,
          bootMs,
          segments: [...segments.values()],
        })),
      seen: heard.flatMap(({ seen }) => (seen ? [seen] : [])),
    };
  }

  /** Forgets a batch that was recorded, but for what was heard since it was taken. */
  settle(batch: HeardBatch): void {
    const recorded = new Set(batch.beats.flatMap(({ spans }) => spans));
    const segments = new Map(batch.segments.map((node) => [keyOf(node), node.segments]));
    const seen = new Set(batch.seen);
    for (const [session, evidence] of this.#sessions) {
      // A span that went on meanwhile is another object.
      evidence.spans = evidence.spans.filter((span) => !recorded.has(span));
      for (const segment of segments.get(keyOf(session)) ?? []) evidence.segments.delete(segment.segment_id);
      if (evidence.seen && seen.has(evidence.seen)) evidence.seen = undefined;
      if (evidence.spans.length === 0 && evidence.segments.size === 0 && !evidence.seen) this.#sessions.delete(session);
    }
  }
}

function keyOf({ nodeId, sessionEpoch }: { nodeId: string; sessionEpoch: number }): string {
  return `${nodeId}:${sessionEpoch}`;
}
