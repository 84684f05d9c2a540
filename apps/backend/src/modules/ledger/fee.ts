import { scaleDownMicros } from './rounding.js';

const BASIS_POINTS = 10_000n;

/** How one charge is divided. `hostMicros + feeMicros` is the charge, exactly (invariant I8). */
export interface ChargeSplit {
  readonly hostMicros: bigint;
  readonly feeMicros: bigint;
}

/** Divides a charge: the fee is floor(charge x basis points / 10,000), the host has the rest. */
export function splitCharge(chargeMicros: bigint, feeBasisPoints: number): ChargeSplit {
  const feeMicros = scaleDownMicros(chargeMicros, BigInt(feeBasisPoints), BASIS_POINTS);
  return { hostMicros: chargeMicros - feeMicros, feeMicros };
}
