import { z } from 'zod';
import { LIMITS } from './limits.js';

export const GpuSpec = z
  .object({
    uuid: z.string().min(1).max(80),
    index: z.number().int().min(0).max(255),
    model: z.string().min(1).max(120),
    vram_mib: z.number().int().min(0).max(4_194_304),
  })
  .meta({ id: 'GpuSpec' });
export type GpuSpec = z.infer<typeof GpuSpec>;

export const CpuArchitecture = z.enum(['amd64', 'arm64']).meta({ id: 'CpuArchitecture' });
export type CpuArchitecture = z.infer<typeof CpuArchitecture>;

export const CpuSpec = z
  .object({
    model: z.string().max(200),
    cores: z.number().int().min(1).max(4096),
    threads: z.number().int().min(1).max(8192),
  })
  .meta({ id: 'CpuSpec' });
export type CpuSpec = z.infer<typeof CpuSpec>;

export const ContainerEngine = z
  .object({ name: z.string().max(60), version: z.string().max(60) })
  .meta({ id: 'ContainerEngine' });
export type ContainerEngine = z.infer<typeof ContainerEngine>;

/** What a node is made of, as its agent found it. Sizes in MiB (RAM) and GiB (disk), as an agent may offer them. */
export const NodeSpecs = z
  .object({
    hostname: z.string().max(253).optional(),
    os: z.string().max(120),
    kernel: z.string().max(120),
    arch: CpuArchitecture,
    cpu: CpuSpec,
    ram_mib: z.number().int().min(1).max(134_217_728),
    disk_gib: z.number().int().min(0).max(8_388_608),
    gpus: z.array(GpuSpec).max(LIMITS.gpusPerNode),
    container_engine: ContainerEngine,
    /** False where firewall rules cannot be set: such a node is rentable by its owner only. */
    firewall: z.boolean(),
    /** What the preflight found that its host should repair, one sentence each. */
    warnings: z.array(z.string().max(400)).max(32).default([]),
  })
  .meta({ id: 'NodeSpecs' });
export type NodeSpecs = z.infer<typeof NodeSpecs>;

export const LocationData = z
  .object({
    country: z.string().regex(/^[A-Z]{2}$/, 'must be an ISO 3166 two-letter code'),
    city: z.string().max(120).optional(),
    latitude: z.number().min(-90).max(90).optional(),
    longitude: z.number().min(-180).max(180).optional(),
  })
  .meta({ id: 'LocationData' });
export type LocationData = z.infer<typeof LocationData>;
