/** Short limits, so that what takes minutes in a market takes seconds here. The rules are the same. */
export const SHORT_LIMITS: Readonly<Record<string, string>> = {
  HEARTBEAT_INTERVAL_MS: '1000',
  HEARTBEAT_COVER_MS: '6000',
  USAGE_SEGMENT_MS: '2000',
  GATEWAY_FLUSH_MS: '500',
  REV_POLL_MS: '1000',
  BILLING_TICK_MS: '1000',
  SETTLE_GRACE_MS: '4000',
  PROBE_INTERVAL_MS: '1000',
  PROBE_MAX_AGE_MS: '6000',
  PROBE_FAIL_STOP_MS: '10000',
  PORT_REST_MS: '3000',
};
