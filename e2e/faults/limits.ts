import { SHORT_LIMITS } from '../harness/limits.ts';

/** Short limits, so that the whole table takes minutes; the rules are the same. */
export const FAULT_LIMITS: Readonly<Record<string, string>> = {
  ...SHORT_LIMITS,
  HEARTBEAT_BRIDGE_MS: '8000',
  SETTLE_GRACE_MS: '3000',
  NODE_SUSPECT_MS: '6000',
  NODE_UNREACHABLE_MS: '12000',
  NODE_CLONE_SILENCE_MS: '5000',
  HOLD_MINUTES: '1',
  PROBE_FAIL_STOP_MS: '120000',
  RATE_LIMIT_PER_MINUTE: '1000000',
  SIGN_IN_LIMIT_PER_MINUTE: '100000',
};

export const HEARTBEAT_MS = Number(FAULT_LIMITS['HEARTBEAT_INTERVAL_MS']);
/** What a heartbeat, and a good probe, proves beyond itself. */
export const COVER_MS = Number(FAULT_LIMITS['HEARTBEAT_COVER_MS']);

/** Two heartbeats, the longest pause before an agent connects again, and the start of a killed part on a busy machine. */
export const CONVERGE_MS = 2 * HEARTBEAT_MS + 5_000 + 8_000;
/** frpc waits up to 20 s between attempts where frps was gone. */
export const FRPC_BACK_OFF_MS = 20_000;
/** An answer in an open session may take so long on a busy machine before it counts as a silence. */
export const SILENCE_MS = 3_000;
