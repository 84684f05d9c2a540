import { expect, test } from 'vitest';
import { eagerDelayMs, regularDelayMs } from './probe-pace.js';

test('eager probes begin within milliseconds and never wait longer than half a second', () => {
  const delays = Array.from({ length: 20 }, (_, attempt) => eagerDelayMs(attempt));
  expect(delays[0]).toBeLessThanOrEqual(5);
  expect(delays).toEqual(delays.toSorted((a, b) => a - b));
  expect(Math.max(...delays)).toBe(500);
});

test('regular probes stay within a tenth of their interval', () => {
  expect(regularDelayMs(30_000, 0)).toBeCloseTo(27_000);
  expect(regularDelayMs(30_000, 1)).toBeCloseTo(33_000);
});
