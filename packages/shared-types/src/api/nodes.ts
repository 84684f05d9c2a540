import { z } from 'zod';
import { PricingConfig } from '../entities/pricing.js';

export const UpdateNodeRequest = z
  .object({ name: z.string().trim().min(1).max(120).optional(), pricingConfig: PricingConfig.optional() })
  .meta({ id: 'UpdateNodeRequest' });
export type UpdateNodeRequest = z.infer<typeof UpdateNodeRequest>;
