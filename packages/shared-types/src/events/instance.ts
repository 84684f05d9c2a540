import { z } from 'zod';
import { DesiredState, InstancePhase, RentalEndReason, RunType } from '../entities/enums.js';
import { LIMITS } from '../entities/limits.js';
import { PullProgress } from '../entities/rental.js';

/** An id on the wire. Ours are UUIDs; the bound is what matters to a parser. */
export const WireId = z.string().min(1).max(64);
export const Generation = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
export const Revision = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
export const Incarnation = z.number().int().min(1).max(1_000_000);
/** Milliseconds of the node's boot clock (CLOCK_BOOTTIME). */
export const BootMs = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const port = z.number().int().min(1).max(65_535);
const portText = z.string().regex(/^\d{1,5}$/);

/** The specification's resource limits; `gpu_uuids` decides where both are given, since indices move over reboots. */
export const ResourceLimits = z
  .object({
    gpu_indices: z.array(z.string().max(8)).max(LIMITS.gpusPerNode).default([]),
    gpu_uuids: z.array(z.string().max(80)).max(LIMITS.gpusPerNode).optional(),
    cpu_cores: z.number().positive().max(4096),
    ram_limit: z.string().regex(/^\d{1,12}[kmg]$/, 'must be a number followed by k, m or g'),
    disk_limit: z
      .string()
      .regex(/^\d{1,12}[kmg]$/, 'must be a number followed by k, m or g')
      .optional(),
    pids: z.number().int().min(16).max(4_194_304).optional(),
    shm_mib: z.number().int().min(1).max(4_194_304).optional(),
  })
  .meta({ id: 'ResourceLimits' });
export type ResourceLimits = z.infer<typeof ResourceLimits>;

/** The specification's port mapping: container port -> public port of the proxy server. */
export const ProxyPortMapping = z.record(portText, port).meta({ id: 'ProxyPortMapping' });
export type ProxyPortMapping = z.infer<typeof ProxyPortMapping>;

export const EnvVars = z.record(z.string().max(256), z.string().max(LIMITS.envValueBytes)).meta({ id: 'EnvVars' });
export type EnvVars = z.infer<typeof EnvVars>;

export const RegistryAuth = z
  .object({ server: z.string().max(255), username: z.string().max(255), password: z.string().max(8192) })
  .meta({ id: 'RegistryAuth' });
export type RegistryAuth = z.infer<typeof RegistryAuth>;

/**
 * All that fixes a container. `spec_sha` is the SHA-256 (hex) over `instanceSpecText`: the canonical JSON of this object
 * without `spec_sha`, `registry_auth` and `ssh_host_key`, and with `resource_limits.cpu_cores` replaced by the integer
 * `resource_limits.cpu_millicores`; a change of it needs a new incarnation.
 */
export const InstanceSpec = z
  .object({
    rental_id: WireId,
    spec_sha: z.string().max(64),
    image: z.string().min(1).max(512),
    image_digest: z.string().max(160).optional(),
    run_type: RunType,
    command: z.array(z.string().max(LIMITS.commandBytes)).max(LIMITS.commandArguments),
    env_vars: EnvVars,
    resource_limits: ResourceLimits,
    /** Ports inside the container that are published on loopback; 22 is the guest's SSH server. */
    container_ports: z.array(port).max(LIMITS.containerPorts + 1),
    /** OpenSSH PEM of the rental's Ed25519 host key: stable over stop, start, recycle and move. */
    ssh_host_key: z.string().max(8192),
    registry_auth: RegistryAuth.optional(),
  })
  .meta({ id: 'InstanceSpec' });
export type InstanceSpec = z.infer<typeof InstanceSpec>;

export const TunnelType = z.enum(['tcp', 'http']).meta({ id: 'TunnelType' });
export type TunnelType = z.infer<typeof TunnelType>;

/** One public port (or host name) of one proxy server that leads to a container port. */
export const Tunnel = z
  .object({
    proxy_server_id: WireId,
    proxy_name: z.string().min(1).max(128),
    type: TunnelType,
    container_port: port,
    remote_port: port.optional(),
    subdomain: z.string().max(63).optional(),
  })
  .meta({ id: 'Tunnel' });
export type Tunnel = z.infer<typeof Tunnel>;

/** What a placement should be now. Everything here may change without a new container; `gen` rises when it does. */
export const DesiredInstance = z
  .object({
    rental_id: WireId,
    placement_id: WireId,
    incarnation: Incarnation,
    gen: Generation,
    desired: DesiredState,
    reason: RentalEndReason.optional(),
    spec_sha: z.string().max(64),
    ssh_keys: z.array(z.string().max(LIMITS.sshPublicKeyBytes)).max(LIMITS.sshKeysPerRental),
    tunnels: z.array(Tunnel).max(LIMITS.containerPorts + 1),
    /** Milliseconds until the rental's TTL, counted on the node's boot clock from receipt. */
    ttl_remaining_ms: z.number().int().min(0).optional(),
    stop_grace_seconds: z.number().int().min(0).max(600).default(10),
  })
  .meta({ id: 'DesiredInstance' });
export type DesiredInstance = z.infer<typeof DesiredInstance>;

/** An instance as the agent sees it. Sent at once on each change of phase, and in heartbeats. */
export const InstanceReport = z
  .object({
    rental_id: WireId,
    placement_id: WireId,
    incarnation: Incarnation,
    gen: Generation,
    phase: InstancePhase,
    container_id: z.string().max(128).optional(),
    image_digest: z.string().max(160).optional(),
    reason: RentalEndReason.optional(),
    message: z.string().max(1000).optional(),
    exit_code: z.number().int().optional(),
    oom_killed: z.boolean().optional(),
    pull_progress: PullProgress.optional(),
    /** Boot clock at which this phase began. */
    phase_boot_ms: BootMs,
  })
  .meta({ id: 'InstanceReport' });
export type InstanceReport = z.infer<typeof InstanceReport>;
