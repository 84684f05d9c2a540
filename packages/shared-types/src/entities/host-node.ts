import { z } from 'zod';
import { NodeStatus } from './enums.js';
import { LocationData, NodeSpecs } from './node-specs.js';
import { PricingConfig } from './pricing.js';

export const HostNode = z
  .object({
    id: z.uuid(),
    publicId: z.number().int(),
    ownerId: z.uuid(),
    name: z.string(),
    specs: NodeSpecs,
    pricingConfig: PricingConfig,
    status: NodeStatus,
    locationData: LocationData.nullable(),
    agentVersion: z.string().nullable(),
    lastSeenAt: z.iso.datetime().nullable(),
    /** Why the platform neither rents nor stops anything on it until an operator confirms; null when nothing is wrong. */
    frozenReason: z.string().nullable(),
    /** True while its host lets nothing new onto it. */
    draining: z.boolean(),
    rentableByOwnerOnly: z.boolean(),
    capacity: z.object({
      totalCpuMillicores: z.number().int(),
      freeCpuMillicores: z.number().int(),
      totalRamMib: z.number().int(),
      freeRamMib: z.number().int(),
      totalDiskGib: z.number().int(),
      freeDiskGib: z.number().int(),
    }),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'HostNode' });
export type HostNode = z.infer<typeof HostNode>;
