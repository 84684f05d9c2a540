import type { Heartbeat } from '@dcompute/shared-types';
import type { AgentSession } from '../agent-session.js';

/**
 * Takes a heartbeat without any SQL of its own: what it proves waits for the next flush, what changed is applied, and the
 * answer goes out once that is done, in the order of the heartbeats.
 */
export function takeHeartbeat(session: AgentSession, beat: Heartbeat): void {
  const { services, connection, sync } = session;
  const nowMs = services.clock.nowMs();
  const { nodeId, sessionId, bootId } = connection.session;
  const foreign =
    beat.node_id !== nodeId || (beat.session_id ?? sessionId) !== sessionId || (beat.boot_id ?? bootId) !== bootId;
  if (foreign) {
    return connection.answerMalformed(
      'heartbeat: node_id, session_id and boot_id must be those of this session',
      nowMs,
    );
  }
  services.evidence.hear(connection.session, beat, nowMs);
  for (const ack of beat.acks) services.counters.countAck(ack);
  // What waits for the database holds on to no more of the message than it needs.
  const { seq = 0, rev_applied: revApplied } = beat;
  session.apply(beat, () => {
    connection.send({
      event: 'heartbeat_ack',
      data: {
        seq,
        server_time: services.clock.now().toISOString(),
        rev: sync.rev,
        usage_acked: session.takeSettled(),
        run_until: sync.runUntil(),
      },
    });
    if (revApplied !== undefined) sync.catchUp(revApplied);
  });
}
