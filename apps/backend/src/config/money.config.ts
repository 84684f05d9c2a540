import { z } from 'zod';
import { milliseconds } from './env.js';

export const moneySchema = z
  .object({
    BILLING_TICK_MS: milliseconds(60_000, { least: 50 }),
    PLATFORM_FEE_BPS: z.coerce.number().int().min(0).max(10_000).default(1500),
    HOLD_MINUTES: z.coerce.number().int().min(1).max(1440).default(10),
    SETTLE_GRACE_MS: milliseconds(120_000, { least: 0 }),
  })
  .transform((env) => ({
    tickMs: env.BILLING_TICK_MS,
    platformFeeBasisPoints: env.PLATFORM_FEE_BPS,
    holdMs: BigInt(env.HOLD_MINUTES) * 60_000n,
    settleGraceMs: env.SETTLE_GRACE_MS,
  }));
export type MoneyConfig = z.infer<typeof moneySchema>;
export const MONEY_CONFIG = Symbol('MoneyConfig');
