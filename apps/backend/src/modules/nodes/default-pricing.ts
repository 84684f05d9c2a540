import type { PricingConfig } from '@dcompute/shared-types';

/** What a new node asks for until its host says otherwise, so that it has offers at once. Dollars. */
export const DEFAULT_PRICING: PricingConfig = {
  gpuPerHour: '0.200000',
  cpuCorePerHour: '0.010000',
  ramGibPerHour: '0.002000',
  diskGibPerMonth: '0.050000',
  trafficPerGib: '0.000000',
};
