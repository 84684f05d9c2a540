import { z } from 'zod';
import { LocationData } from '../entities/node-specs.js';
import { DecimalAmount, NonNegativeAmount } from '../entities/money.js';
import { Rates } from '../entities/pricing.js';
import { PageQuery, pageOf } from './pages.js';

export const OfferQuery = PageQuery.extend({
  gpuModel: z.string().max(120).optional(),
  minGpuCount: z.coerce.number().int().min(0).max(64).optional(),
  maxGpuCount: z.coerce.number().int().min(0).max(64).optional(),
  minCpuCores: z.coerce.number().min(0).max(4096).optional(),
  minRamMib: z.coerce.number().int().min(0).max(134_217_728).optional(),
  minDiskGib: z.coerce.number().int().min(0).max(8_388_608).optional(),
  maxPricePerHour: NonNegativeAmount.optional(),
  nodeId: z.uuid().optional(),
}).meta({ id: 'OfferQuery' });
export type OfferQuery = z.infer<typeof OfferQuery>;

/** A rentable shape of one node, at a price. The id is stable: the same shape of the same node keeps it. */
export const Offer = z
  .object({
    id: z.uuid(),
    publicId: z.number().int(),
    nodeId: z.uuid(),
    nodePublicId: z.number().int(),
    gpuModel: z.string().nullable(),
    gpuCount: z.number().int(),
    cpuMillicores: z.number().int(),
    ramMib: z.number().int(),
    diskGib: z.number().int(),
    cpuModel: z.string(),
    pricePerHour: DecimalAmount,
    rates: Rates,
    location: LocationData.nullable(),
    available: z.boolean(),
  })
  .meta({ id: 'Offer' });
export type Offer = z.infer<typeof Offer>;

export const OfferPage = pageOf(Offer, 'OfferPage');
export type OfferPage = z.infer<typeof OfferPage>;
