import { z } from 'zod';
import { HostNode } from '../entities/host-node.js';
import { PricingConfig } from '../entities/pricing.js';
import { DrainMode } from '../events/backend-messages.js';
import { pageOf } from './pages.js';

export const UpdateNodeRequest = z
  .object({ name: z.string().trim().min(1).max(120).optional(), pricingConfig: PricingConfig.optional() })
  .meta({ id: 'UpdateNodeRequest' });
export type UpdateNodeRequest = z.infer<typeof UpdateNodeRequest>;

/** `no_new`: nothing new is rented on the node, what runs goes on; `undo`: it is rented again. */
export const DrainNodeRequest = z.object({ mode: DrainMode.default('no_new') }).meta({ id: 'DrainNodeRequest' });
export type DrainNodeRequest = z.infer<typeof DrainNodeRequest>;

export const HostNodePage = pageOf(HostNode, 'HostNodePage');
export type HostNodePage = z.infer<typeof HostNodePage>;
