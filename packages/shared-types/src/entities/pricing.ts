import { z } from 'zod';
import { NonNegativeAmount } from './money.js';

/** What a host asks for, in dollars. Offers are priced from it by a pure function; running rentals keep their rates. */
export const PricingConfig = z
  .object({
    gpuPerHour: NonNegativeAmount,
    cpuCorePerHour: NonNegativeAmount,
    ramGibPerHour: NonNegativeAmount,
    diskGibPerMonth: NonNegativeAmount,
    trafficPerGib: NonNegativeAmount,
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
