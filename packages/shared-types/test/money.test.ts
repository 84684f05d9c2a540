import { describe, expect, it } from 'vitest';
import { DecimalAmount, NonNegativeAmount, formatAmountMicros, parseAmountMicros } from '../src/index.js';

describe('money', () => {
  it.each([
    ['0', 0n],
    ['0.000001', 1n],
    ['-0.000001', -1n],
    ['0.25', 250_000n],
    ['12.5', 12_500_000n],
    ['-3.000000', -3_000_000n],
    ['99999999999999.999999', 99_999_999_999_999_999_999n],
  ])('reads %s as %s micro-dollars', (text, micros) => {
    expect(parseAmountMicros(text)).toBe(micros);
    expect(parseAmountMicros(formatAmountMicros(micros))).toBe(micros);
  });

  it.each(['', '.5', '1.', '1.0000001', '1e3', '+1', ' 1', '1,5', '0x10', '100000000000000', '--1', 'NaN'])(
    'refuses %j',
    (text) => {
      expect(() => parseAmountMicros(text)).toThrow(RangeError);
      expect(DecimalAmount.safeParse(text).success).toBe(false);
    },
  );

  it('always writes six digits after the point', () => {
    expect(formatAmountMicros(1n)).toBe('0.000001');
    expect(formatAmountMicros(-250_000n)).toBe('-0.250000');
    expect(formatAmountMicros(10n ** 20n)).toBe('100000000000000.000000');
  });

  it('tells negative amounts from those that must not be', () => {
    expect(DecimalAmount.safeParse('-1').success).toBe(true);
    expect(NonNegativeAmount.safeParse('-1').success).toBe(false);
    expect(NonNegativeAmount.safeParse('0').success).toBe(true);
  });
});
