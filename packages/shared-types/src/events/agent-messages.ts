import { z } from 'zod';
import { ReportedNodeStatus } from '../entities/enums.js';
import { LIMITS } from '../entities/limits.js';
import { NodeSpecs } from '../entities/node-specs.js';
import { BootMs, Generation, InstanceReport, Revision, WireId } from './instance.js';
import { UsageSegment } from './usage.js';

/** The highest generation of one placement that a node has seen. */
export const PlacementGen = z.object({ placement_id: WireId, gen: Generation }).meta({ id: 'PlacementGen' });
export type PlacementGen = z.infer<typeof PlacementGen>;

/** The first message of a session. `signature` is Ed25519 (base64) over `helloSigningText(nonce, session_id)`. */
export const Hello = z
  .object({
    agent_version: z.string().min(1).max(60),
    protocol_version: z.number().int().min(1).max(1000),
    node_name: z.string().min(1).max(120).optional(),
    specs: NodeSpecs,
    boot_id: WireId,
    boot_ms: BootMs,
    session_id: WireId,
    /** Raw 32-byte Ed25519 public key, base64. */
    public_key: z.string().min(40).max(60),
    signature: z.string().min(1).max(120),
    /** Highest revision and generations this node has ever seen: they expose a restored database (R6). */
    rev_applied: Revision,
    gens: z.array(PlacementGen).max(1000),
  })
  .meta({ id: 'Hello' });
export type Hello = z.infer<typeof Hello>;

/** The text that `Hello.signature` signs. */
export function helloSigningText(nonce: string, sessionId: string): string {
  return `dcompute-agent-hello:v1\n${nonce}\n${sessionId}`;
}

/** The specification's metrics. */
export const HeartbeatMetrics = z
  .object({
    cpu_temp: z.number().nullable().default(null),
    gpu_temp: z.array(z.number()).max(LIMITS.gpusPerNode),
    gpu_utilization: z.array(z.number()).max(LIMITS.gpusPerNode),
    ram_usage_mb: z.number().min(0),
    disk_usage_gb: z.number().min(0),
    cpu_utilization: z.number().min(0).max(100).optional(),
  })
  .meta({ id: 'HeartbeatMetrics' });
export type HeartbeatMetrics = z.infer<typeof HeartbeatMetrics>;

export const GpuState = z
  .object({
    uuid: z.string().max(80),
    memory_used_mib: z.number().int().min(0),
    processes: z.number().int().min(0),
    clean: z.boolean(),
  })
  .meta({ id: 'GpuState' });
export type GpuState = z.infer<typeof GpuState>;

export const TunnelState = z
  .object({
    proxy_server_id: WireId,
    connected: z.boolean(),
    error: z.string().max(400).optional(),
  })
  .meta({ id: 'TunnelState' });
export type TunnelState = z.infer<typeof TunnelState>;

export const CommandResult = z.enum(['accepted', 'duplicate', 'stale', 'rejected']).meta({ id: 'CommandResult' });
export type CommandResult = z.infer<typeof CommandResult>;

export const Ack = z
  .object({
    cmd_id: WireId,
    rental_id: WireId,
    gen: Generation,
    result: CommandResult,
    message: z.string().max(400).optional(),
  })
  .meta({ id: 'Ack' });
export type Ack = z.infer<typeof Ack>;

/** Which part of the full set of instances a heartbeat carries. */
export const InstancesPart = z
  .object({ part: z.number().int().min(1), parts: z.number().int().min(1).max(512) })
  .meta({ id: 'InstancesPart' });
export type InstancesPart = z.infer<typeof InstancesPart>;

/** The specification's heartbeat; everything after `metrics` is ours and may be missing from a bare one. */
export const Heartbeat = z
  .object({
    node_id: WireId,
    status: ReportedNodeStatus,
    metrics: HeartbeatMetrics,
    session_id: WireId.optional(),
    seq: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
    boot_id: WireId.optional(),
    boot_ms: BootMs.optional(),
    rev_applied: Revision.optional(),
    /** Changes since the last acknowledged beat; the full set in parts after `welcome`. */
    instances: z.array(InstanceReport).max(LIMITS.instancesPerBeat).default([]),
    /** Present on the beats that carry the full set. */
    instances_part: InstancesPart.optional(),
    gpus: z.array(GpuState).max(LIMITS.gpusPerNode).default([]),
    tunnel: z.array(TunnelState).max(LIMITS.proxyServersPerNode).default([]),
    usage: z.array(UsageSegment).max(LIMITS.usageSegmentsPerBeat).default([]),
    acks: z.array(Ack).max(LIMITS.acksPerBeat).default([]),
  })
  .meta({ id: 'Heartbeat' });
export type Heartbeat = z.infer<typeof Heartbeat>;

export const GetSpec = z.object({ placement_id: WireId, spec_sha: z.string().max(64) }).meta({ id: 'GetSpec' });
export type GetSpec = z.infer<typeof GetSpec>;
