import { createHash } from 'node:crypto';
import {
  type EnvVars,
  type InstanceSpec,
  type RegistryAuth,
  type RunType,
  instanceSpecText,
} from '@dcompute/shared-types';

/** The port of the guest's SSH server inside every instance. */
export const SSH_CONTAINER_PORT = 22;
const PIDS_PER_CORE = 1024;
const PIDS_LEAST = 2048;

/** What a placement stores of its spec: everything but the secrets, which are sealed apart. */
export type StoredSpec = Omit<InstanceSpec, 'env_vars' | 'ssh_host_key' | 'registry_auth'>;

export interface SpecInput {
  readonly rentalId: string;
  readonly image: string;
  readonly runType: RunType;
  readonly command: readonly string[];
  readonly env: EnvVars;
  /** Container ports to open beside 22. */
  readonly ports: readonly number[];
  readonly gpus: readonly { readonly uuid: string; readonly index: number }[];
  readonly cpuMillicores: number;
  readonly ramMib: number;
  readonly diskGib: number;
}

/** The container ports of a rental: 22 first, then the renter's own, each once. */
function containerPortsOf(ports: readonly number[]): number[] {
  return [...new Set([SSH_CONTAINER_PORT, ...ports])];
}

/** Fixes the container of a placement, and its sha over all of it, the environment included. */
export function buildSpec(input: SpecInput): { stored: StoredSpec; specSha: string } {
  const content = {
    rental_id: input.rentalId,
    image: input.image,
    run_type: input.runType,
    command: [...input.command],
    resource_limits: {
      gpu_indices: input.gpus.map((gpu) => String(gpu.index)),
      gpu_uuids: input.gpus.map((gpu) => gpu.uuid),
      cpu_cores: input.cpuMillicores / 1000,
      ram_limit: `${input.ramMib}m`,
      disk_limit: `${input.diskGib}g`,
      pids: Math.max(PIDS_LEAST, Math.ceil(input.cpuMillicores / 1000) * PIDS_PER_CORE),
      shm_mib: Math.max(64, Math.floor(input.ramMib / 2)),
    },
    container_ports: containerPortsOf(input.ports),
  };
  const specSha = createHash('sha256')
    .update(instanceSpecText({ ...content, env_vars: input.env }))
    .digest('hex');
  return { stored: { ...content, spec_sha: specSha }, specSha };
}

/** The complete spec, as the agent gets it: the stored part with its secrets opened. */
export function completeSpec(
  stored: StoredSpec,
  secrets: { env: EnvVars; sshHostKeyPem: string; registryAuth: RegistryAuth | null },
): InstanceSpec {
  return {
    ...stored,
    env_vars: secrets.env,
    ssh_host_key: secrets.sshHostKeyPem,
    ...(secrets.registryAuth && { registry_auth: secrets.registryAuth }),
  };
}
