import { z } from 'zod';
import { NonNegativeAmount } from './money.js';

/** Below a million dollars: far above any price, and so low that the price of the largest node still is an amount. */
const Price = NonNegativeAmount.refine((value) => /^\d{1,6}(\.|$)/.test(value), 'must be below 1000000');

/** What a host asks for, in dollars. Offers are priced from it by a pure function; running rentals keep their rates. */
export const PricingConfig = z
  .object({
    gpuPerHour: Price,
    cpuCorePerHour: Price,
    ramGibPerHour: Price,
    diskGibPerMonth: Price,
    trafficPerGib: Price,
  })
  .meta({ id: 'PricingConfig' });
export type PricingConfig = z.infer<typeof PricingConfig>;

/** The parts of an hourly price, in dollars. `totalPerHour` is gpu + cpu + ram + disk. */
export const Rates = z
  .object({
    gpuPerHour: NonNegativeAmount,
    cpuPerHour: NonNegativeAmount,
    ramPerHour: NonNegativeAmount,
    diskPerHour: NonNegativeAmount,
    trafficPerGib: NonNegativeAmount,
    totalPerHour: NonNegativeAmount,
  })
  .meta({ id: 'Rates' });
export type Rates = z.infer<typeof Rates>;
