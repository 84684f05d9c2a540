import { z } from 'zod';
import { milliseconds } from './env.js';

/** The agent gateway and the proof of time. Design sections 5 and 7 have the defaults. */
export const gatewaySchema = z
  .object({
    HEARTBEAT_INTERVAL_MS: milliseconds(5_000, { least: 50, most: 60_000 }),
    USAGE_SEGMENT_MS: milliseconds(30_000, { least: 100, most: 600_000 }),
    GATEWAY_FLUSH_MS: milliseconds(5_000, { least: 20, most: 60_000 }),
    REV_POLL_MS: milliseconds(2_000, { least: 50, most: 60_000 }),
    NODE_SUSPECT_MS: milliseconds(30_000),
    NODE_UNREACHABLE_MS: milliseconds(60_000),
    NODE_LOST_MS: milliseconds(86_400_000),
    NODE_CLONE_SILENCE_MS: milliseconds(15_000),
    HEARTBEAT_COVER_MS: milliseconds(30_000),
    HEARTBEAT_BRIDGE_MS: milliseconds(60_000),
    PROBE_MAX_AGE_MS: milliseconds(90_000),
    OFFLINE_GRACE_MS: milliseconds(21_600_000),
  })
  .transform((env) => ({
    heartbeatIntervalMs: env.HEARTBEAT_INTERVAL_MS,
    usageSegmentMs: env.USAGE_SEGMENT_MS,
    flushMs: env.GATEWAY_FLUSH_MS,
    revPollMs: env.REV_POLL_MS,
    suspectMs: env.NODE_SUSPECT_MS,
    unreachableMs: env.NODE_UNREACHABLE_MS,
    lostMs: env.NODE_LOST_MS,
    cloneSilenceMs: env.NODE_CLONE_SILENCE_MS,
    heartbeatCoverMs: env.HEARTBEAT_COVER_MS,
    heartbeatBridgeMs: env.HEARTBEAT_BRIDGE_MS,
    probeMaxAgeMs: env.PROBE_MAX_AGE_MS,
    offlineGraceMs: env.OFFLINE_GRACE_MS,
  }));
export type GatewayConfig = z.infer<typeof gatewaySchema>;
export const GATEWAY_CONFIG = Symbol('GatewayConfig');
