import { describe, expect, it } from 'vitest';
import { RateLimiter } from './rate-limiter.js';

describe('a caller with 60 requests a minute', () => {
  it('may send them at once, and then one each second', () => {
    const limiter = new RateLimiter(60);
    const burst = Array.from({ length: 61 }, () => limiter.take('a', 0));
    expect(burst.map(({ allowed }) => allowed)).toEqual([...Array<boolean>(60).fill(true), false]);
    expect(burst[0]).toMatchObject({ limit: 60, remaining: 59, resetSeconds: 1 });
    expect(burst[60]).toMatchObject({ remaining: 0, resetSeconds: 60, retryAfterSeconds: 1 });
    expect(limiter.take('a', 999).allowed).toBe(false);
    expect(limiter.take('a', 1000).allowed).toBe(true);
    expect(limiter.take('a', 1000).allowed).toBe(false);
  });

  it('takes nothing from others, and never saves up more than a minute', () => {
    const limiter = new RateLimiter(60);
    limiter.take('a', 0);
    expect(limiter.take('b', 0).remaining).toBe(59);
    expect(limiter.take('a', 86_400_000).remaining).toBe(59);
  });

  it('gains nothing when the clock goes back', () => {
    const limiter = new RateLimiter(1);
    limiter.take('a', 60_000);
    expect(limiter.take('a', 0).allowed).toBe(false);
  });
});

it('remembers a bounded number of callers: the longest silent goes first', () => {
  const limiter = new RateLimiter(1, 2);
  limiter.take('a', 0);
  limiter.take('b', 0);
  limiter.take('a', 0);
  limiter.take('c', 0);
  expect(limiter.take('a', 0).allowed).toBe(false);
  expect(limiter.take('b', 0).allowed).toBe(true);
});
