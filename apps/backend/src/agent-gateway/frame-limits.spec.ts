import { describe, expect, it } from 'vitest';
import { MinuteCount, TokenBucket } from './frame-limits.js';

describe('limits of frames', () => {
  it('the tenth event within a minute reaches a limit of ten, the tenth in two minutes does not', () => {
    const count = new MinuteCount(10);
    const reached = Array.from({ length: 10 }, (_, index) => count.reaches(index * 1000));
    expect(reached).toEqual([...Array.from({ length: 9 }, () => false), true]);
    const slow = new MinuteCount(10);
    expect(Array.from({ length: 30 }, (_, index) => slow.reaches(index * 12_000)).includes(true)).toBe(false);
  });

  it('a bucket gives its burst at once and then its rate', () => {
    const bucket = new TokenBucket(5, 2, 0);
    expect(Array.from({ length: 7 }, () => bucket.take(0))).toEqual([true, true, true, true, true, false, false]);
    expect([bucket.take(400), bucket.take(500), bucket.take(600)]).toEqual([false, true, false]);
  });
});
