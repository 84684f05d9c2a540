/**
 * The one place where money is rounded: always down to a whole micro-dollar, which is in the renter's favour for
 * prices and charges and in the host's favour for the platform's fee.
 */

/** floor(amountMicros x numerator / denominator), exact. Throws a RangeError for a negative value or a zero denominator. */
export function scaleDownMicros(amountMicros: bigint, numerator: bigint, denominator: bigint): bigint {
  if (amountMicros < 0n || numerator < 0n || denominator <= 0n) {
    throw new RangeError(`cannot scale ${amountMicros} by ${numerator}/${denominator}`);
  }
  return (amountMicros * numerator) / denominator;
}

/** The smaller of two bigints. */
export function minMicros(left: bigint, right: bigint): bigint {
  return left < right ? left : right;
}

/** The larger of two bigints. */
export function maxMicros(left: bigint, right: bigint): bigint {
  return left > right ? left : right;
}
