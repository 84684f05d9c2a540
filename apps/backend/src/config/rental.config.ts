import { z } from 'zod';
import { milliseconds } from './env.js';

/** How long a rental may stay in each phase, and when broken SSH ends it. */
export const rentalSchema = z
  .object({
    PHASE_SCHEDULED_MS: milliseconds(60_000),
    PHASE_PULLING_MS: milliseconds(3_600_000),
    PHASE_CREATING_MS: milliseconds(120_000),
    PHASE_STARTING_MS: milliseconds(120_000),
    PHASE_PROBING_MS: milliseconds(120_000),
    STOPPING_MS: milliseconds(120_000),
    PROBE_FAIL_STOP_MS: milliseconds(300_000),
    SWEEP_MS: milliseconds(1_000, { least: 20, most: 60_000 }),
  })
  .transform((env) => ({
    phaseLimitsMs: {
      scheduled: env.PHASE_SCHEDULED_MS,
      pulling: env.PHASE_PULLING_MS,
      creating: env.PHASE_CREATING_MS,
      starting: env.PHASE_STARTING_MS,
      probing: env.PHASE_PROBING_MS,
      stopping: env.STOPPING_MS,
    },
    probeFailStopMs: env.PROBE_FAIL_STOP_MS,
    sweepMs: env.SWEEP_MS,
  }));
export type RentalConfig = z.infer<typeof rentalSchema>;
export const RENTAL_CONFIG = Symbol('RentalConfig');
