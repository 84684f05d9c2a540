/** Limits of the gateway that no deployment needs to change. The wire's own limits are `LIMITS` of shared-types. */
export const GATEWAY_LIMITS = {
  /** Sockets of one replica: two thirds of the file descriptors that a process usually has. */
  connections: 14_000,
  /** Sockets under one host key: the present one, and those of a reconnect that are still being cleared away. */
  connectionsPerHostKey: 4,
  /** Upgrades whose host key is being looked up. */
  pendingUpgrades: 500,
  helloTimeoutMs: 10_000,
  /** Frames that may come at once, and per second from then on: far above what an agent sends after a long absence. */
  frameBurst: 600,
  framesPerSecond: 100,
  /** What may wait to be sent on one socket before its agent counts as too slow. */
  sendBufferBytes: 8 * 1024 * 1024,
  /** Messages of one node that wait to be worked on, and reports on instances in them: twice the full set of a large node. */
  queuedWork: 500,
  queuedReports: 10_000,
  /** Time for a part of a desired list to leave. */
  sendTimeoutMs: 30_000,
  /** Time for sockets to close before they are cut, at shutdown. */
  closeTimeoutMs: 1_000,
} as const;
