import { z } from 'zod';

/** Micro-dollars in one dollar: the smallest amount that any account holds is 0.000001. */
export const MICROS_PER_UNIT = 1_000_000n;

/** An amount of money as JSON carries it: a decimal string with at most 6 digits after the point, never a number. */
export const DecimalAmount = z
  .string()
  .regex(/^-?\d{1,14}(\.\d{1,6})?$/, 'must be a decimal string such as "0.25", with at most 6 digits after the point')
  .meta({ id: 'DecimalAmount', examples: ['0.250000'] });
export type DecimalAmount = z.infer<typeof DecimalAmount>;

/** A decimal amount that is not negative. */
export const NonNegativeAmount = DecimalAmount.refine((value) => !value.startsWith('-'), 'must not be negative');

/** Parses a decimal string into integer micro-dollars. Throws a RangeError when the text is no `DecimalAmount`. */
export function parseAmountMicros(value: string): bigint {
  const match = /^(-?)(\d{1,14})(?:\.(\d{1,6}))?$/.exec(value);
  if (!match) throw new RangeError(`not a decimal amount with at most 6 digits after the point: ${value}`);
  const [, sign, whole = '0', fraction = ''] = match;
  const micros = BigInt(whole) * MICROS_PER_UNIT + BigInt(fraction.padEnd(6, '0'));
  return sign === '-' ? -micros : micros;
}

/** Writes integer micro-dollars as a decimal string with 6 digits after the point. */
export function formatAmountMicros(amountMicros: bigint): string {
  const sign = amountMicros < 0n ? '-' : '';
  const absolute = amountMicros < 0n ? -amountMicros : amountMicros;
  const fraction = (absolute % MICROS_PER_UNIT).toString().padStart(6, '0');
  return `${sign}${absolute / MICROS_PER_UNIT}.${fraction}`;
}
