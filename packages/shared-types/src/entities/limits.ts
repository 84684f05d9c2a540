/** Limits that both ends of a wire check. Durations in milliseconds unless the name says otherwise. */
export const LIMITS = {
  /** Largest WebSocket message of the agent protocol, in bytes; larger ones close the socket with 1009. */
  agentMessageBytes: 256 * 1024,
  /** Malformed messages in a minute before the socket is closed with 1008. */
  malformedMessagesPerMinute: 10,
  /** Usage segments in one heartbeat. */
  usageSegmentsPerBeat: 200,
  /** Instances in one heartbeat; a full report comes in parts over several beats. */
  instancesPerBeat: 200,
  acksPerBeat: 200,
  gpusPerNode: 32,
  /** Items in one part of a desired list. */
  desiredItemsPerPart: 200,
  desiredParts: 512,
  envVariables: 256,
  envValueBytes: 32 * 1024,
  envTotalBytes: 96 * 1024,
  containerPorts: 16,
  sshKeysPerRental: 32,
  sshPublicKeyBytes: 16 * 1024,
  /** All SSH keys of one rental, as JSON: they travel in one item of a desired list, whose message has its own limit. */
  sshKeysTotalBytes: 96 * 1024,
  commandArguments: 256,
  commandBytes: 32 * 1024,
  /** Command, environment and registry login of one rental, as JSON: they travel in one message. */
  specTextBytes: 192 * 1024,
  proxyServersPerNode: 16,
} as const;

/** Version of the agent protocol that this package describes. */
export const AGENT_PROTOCOL_VERSION = 1;
