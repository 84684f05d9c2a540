import { formatAmountMicros } from '@dcompute/shared-types';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatRates, priceShape } from './price.js';

const shape = { gpuCount: 2, cpuMillicores: 1500, ramMib: 2048, diskGib: 73 };
const pricing = {
  gpuPerHour: '1.25',
  cpuCorePerHour: '0.01',
  ramGibPerHour: '0.002',
  diskGibPerMonth: '0.1',
  trafficPerGib: '0.005',
};

describe('priceShape', () => {
  it('prices each part for its share', () => {
    expect(formatRates(priceShape(shape, pricing))).toEqual({
      gpuPerHour: '2.500000',
      cpuPerHour: '0.015000',
      ramPerHour: '0.004000',
      diskPerHour: '0.010000',
      trafficPerGib: '0.005000',
      totalPerHour: '2.529000',
    });
  });

  it('shows parts that add up to the total, whatever the prices', () => {
    const amount = fc.bigInt({ min: 0n, max: 10_000_000_000n }).map(formatAmountMicros);
    const anyPricing = fc.record({
      gpuPerHour: amount,
      cpuCorePerHour: amount,
      ramGibPerHour: amount,
      diskGibPerMonth: amount,
      trafficPerGib: amount,
    });
    fc.assert(
      fc.property(anyPricing, (given) => {
        const rates = priceShape(shape, given);
        expect(rates.totalPerHour).toBe(rates.gpuPerHour + rates.cpuPerHour + rates.ramPerHour + rates.diskPerHour);
      }),
    );
  });
});
