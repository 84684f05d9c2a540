import { z } from 'zod';
import { RentalEndReason } from '../entities/enums.js';
import { LIMITS } from '../entities/limits.js';
import {
  DesiredInstance,
  EnvVars,
  Generation,
  Incarnation,
  InstanceSpec,
  ProxyPortMapping,
  ResourceLimits,
  Revision,
  WireId,
} from './instance.js';

/** Sent by the backend as soon as the socket is open; the agent signs the nonce in its `hello`. */
export const Challenge = z
  .object({ nonce: z.string().min(16).max(128), protocol_version: z.number().int().min(1) })
  .meta({ id: 'Challenge' });
export type Challenge = z.infer<typeof Challenge>;

/** One frps that this node may be asked to use. */
export const ProxyServerAccess = z
  .object({
    id: WireId,
    host: z.string().min(1).max(253),
    bind_port: z.number().int().min(1).max(65_535),
    /** The name in the server's certificate, which the agent verifies against `ca_pem`. */
    server_name: z.string().min(1).max(253),
    ca_pem: z.string().max(32_768),
    /** Shared by all nodes of one frps: keeps strangers out. */
    auth_token: z.string().max(256),
    /** This node's own: what the guard decides by. */
    node_token: z.string().max(256),
  })
  .meta({ id: 'ProxyServerAccess' });
export type ProxyServerAccess = z.infer<typeof ProxyServerAccess>;

export const Welcome = z
  .object({
    node_id: WireId,
    session_epoch: z.number().int().min(1),
    heartbeat_interval_ms: z.number().int().min(50).max(60_000),
    usage_segment_ms: z.number().int().min(100).max(600_000),
    offline_grace_ms: z.number().int().min(0),
    server_time: z.iso.datetime(),
    rev: Revision,
    /** True while removals wait for an operator (R6). */
    frozen: z.boolean(),
    proxy_servers: z.array(ProxyServerAccess).max(LIMITS.proxyServersPerNode),
  })
  .meta({ id: 'Welcome' });
export type Welcome = z.infer<typeof Welcome>;

/** One part of the full desired list of a node; it counts only when all `parts` of one `rev` have arrived. */
export const Desired = z
  .object({
    rev: Revision,
    part: z.number().int().min(1).max(LIMITS.desiredParts),
    parts: z.number().int().min(1).max(LIMITS.desiredParts),
    /** While true the agent starts and keeps, but stops and removes nothing (R6). */
    frozen: z.boolean().default(false),
    items: z.array(DesiredInstance).max(LIMITS.desiredItemsPerPart),
  })
  .meta({ id: 'Desired' });
export type Desired = z.infer<typeof Desired>;

export const RunUntil = z.object({ rental_id: WireId, remaining_ms: z.number().int().min(0) }).meta({ id: 'RunUntil' });
export type RunUntil = z.infer<typeof RunUntil>;

export const HeartbeatAck = z
  .object({
    seq: z.number().int().min(0),
    server_time: z.iso.datetime(),
    rev: Revision,
    /** Segments that are committed: the agent may forget them. */
    usage_acked: z.array(z.string().max(200)).max(LIMITS.usageSegmentsPerBeat * 4),
    run_until: z.array(RunUntil).max(LIMITS.instancesPerBeat),
  })
  .meta({ id: 'HeartbeatAck' });
export type HeartbeatAck = z.infer<typeof HeartbeatAck>;

/** The specification's command, plus the complete form that the agent acts on. A hint: the desired list decides. */
export const StartInstance = z
  .object({
    rental_id: WireId,
    image: z.string().min(1).max(512),
    resource_limits: ResourceLimits,
    env_vars: EnvVars,
    proxy_port_mapping: ProxyPortMapping,
    cmd_id: WireId.optional(),
    rev: Revision.optional(),
    instance: DesiredInstance.optional(),
    spec: InstanceSpec.optional(),
  })
  .meta({ id: 'StartInstance' });
export type StartInstance = z.infer<typeof StartInstance>;

export const StopTarget = z.enum(['stopped', 'deleted']).meta({ id: 'StopTarget' });
export type StopTarget = z.infer<typeof StopTarget>;

export const StopInstance = z
  .object({
    rental_id: WireId,
    cmd_id: WireId.optional(),
    placement_id: WireId.optional(),
    incarnation: Incarnation.optional(),
    gen: Generation.optional(),
    rev: Revision.optional(),
    /** `stopped` keeps container and disk, `deleted` nothing. */
    desired: StopTarget.default('stopped'),
    reason: RentalEndReason.optional(),
    grace_seconds: z.number().int().min(0).max(600).default(10),
  })
  .meta({ id: 'StopInstance' });
export type StopInstance = z.infer<typeof StopInstance>;

export const DrainMode = z.enum(['no_new', 'undo']).meta({ id: 'DrainMode' });
export type DrainMode = z.infer<typeof DrainMode>;

export const DrainNode = z
  .object({
    cmd_id: WireId.optional(),
    mode: DrainMode.default('no_new'),
    reason: z.string().max(400).optional(),
  })
  .meta({ id: 'DrainNode' });
export type DrainNode = z.infer<typeof DrainNode>;

export const UpdateSshKeys = z
  .object({
    cmd_id: WireId,
    rental_id: WireId,
    placement_id: WireId,
    gen: Generation,
    ssh_keys: z.array(z.string().max(LIMITS.sshPublicKeyBytes)).max(LIMITS.sshKeysPerRental),
  })
  .meta({ id: 'UpdateSshKeys' });
export type UpdateSshKeys = z.infer<typeof UpdateSshKeys>;

export const StreamKind = z.enum(['logs', 'shell', 'exec', 'copy']).meta({ id: 'StreamKind' });
export type StreamKind = z.infer<typeof StreamKind>;

/** Asks the agent to dial `url` with `token`: logs, shells and copies never ride the control socket. */
export const OpenStream = z
  .object({
    id: WireId,
    rental_id: WireId,
    kind: StreamKind,
    url: z.string().max(2048),
    token: z.string().max(512),
  })
  .meta({ id: 'OpenStream' });
export type OpenStream = z.infer<typeof OpenStream>;

export const Spec = z
  .object({ placement_id: WireId, spec_sha: z.string().max(64), spec: InstanceSpec })
  .meta({ id: 'Spec' });
export type Spec = z.infer<typeof Spec>;
