import { type PricingConfig, type Rates, formatAmountMicros, parseAmountMicros } from '@dcompute/shared-types';
import { scaleDownMicros } from '../ledger/index.js';
import type { Shape } from './shapes.js';

/** The mean month of 365 days: a price per GiB and month becomes one per hour by it. */
const HOURS_PER_MONTH = 730n;

/** The parts of an hourly price, in micro-dollars; `totalPerHour` is gpu + cpu + ram + disk. */
export interface RateMicros {
  readonly gpuPerHour: bigint;
  readonly cpuPerHour: bigint;
  readonly ramPerHour: bigint;
  readonly diskPerHour: bigint;
  readonly trafficPerGib: bigint;
  readonly totalPerHour: bigint;
}

/** The price of a shape under what its host asks for. Each part is rounded down on its own, so the parts always add up. */
export function priceShape(shape: Omit<Shape, 'shapeKey' | 'gpuModel'>, pricing: PricingConfig): RateMicros {
  const gpuPerHour = parseAmountMicros(pricing.gpuPerHour) * BigInt(shape.gpuCount);
  const cpuPerHour = scaleDownMicros(parseAmountMicros(pricing.cpuCorePerHour), BigInt(shape.cpuMillicores), 1000n);
  const ramPerHour = scaleDownMicros(parseAmountMicros(pricing.ramGibPerHour), BigInt(shape.ramMib), 1024n);
  const diskPerHour = scaleDownMicros(
    parseAmountMicros(pricing.diskGibPerMonth),
    BigInt(shape.diskGib),
    HOURS_PER_MONTH,
  );
  return {
    gpuPerHour,
    cpuPerHour,
    ramPerHour,
    diskPerHour,
    trafficPerGib: parseAmountMicros(pricing.trafficPerGib),
    totalPerHour: gpuPerHour + cpuPerHour + ramPerHour + diskPerHour,
  };
}

/** Rates as JSON carries them. */
export function formatRates(rates: RateMicros): Rates {
  return {
    gpuPerHour: formatAmountMicros(rates.gpuPerHour),
    cpuPerHour: formatAmountMicros(rates.cpuPerHour),
    ramPerHour: formatAmountMicros(rates.ramPerHour),
    diskPerHour: formatAmountMicros(rates.diskPerHour),
    trafficPerGib: formatAmountMicros(rates.trafficPerGib),
    totalPerHour: formatAmountMicros(rates.totalPerHour),
  };
}
