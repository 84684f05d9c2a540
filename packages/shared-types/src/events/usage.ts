import { z } from 'zod';
import { BootMs, Incarnation, WireId } from './instance.js';

/**
 * Proof by the agent that a container ran from `from_ms` to `to_ms` of one boot. Segments of a container never overlap.
 * `signature` is Ed25519 by the node's key (base64) over the canonical JSON of the other fields.
 */
export const UsageSegment = z
  .object({
    segment_id: z.string().min(1).max(200),
    node_id: WireId,
    rental_id: WireId,
    placement_id: WireId,
    incarnation: Incarnation,
    container_id: z.string().min(1).max(128),
    boot_id: WireId,
    n: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
    from_ms: BootMs,
    to_ms: BootMs,
    signature: z.string().min(1).max(120),
  })
  .meta({ id: 'UsageSegment' });
export type UsageSegment = z.infer<typeof UsageSegment>;
