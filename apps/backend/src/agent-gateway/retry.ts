import { setTimeout as delay } from 'node:timers/promises';
import { isDatabaseUnavailable } from '../infra/index.js';

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Does `work` again, with growing pauses, while the database is unavailable, for `limitMs` at most and only while `wanted`.
 * Throws the last error; every other error at once.
 */
export async function retryWhileUnavailable<T>(
  limitMs: number,
  wanted: () => boolean,
  work: () => Promise<T>,
): Promise<T> {
  const endMs = performance.now() + limitMs;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    try {
      return await work();
    } catch (error) {
      if (!isDatabaseUnavailable(error) || !wanted() || performance.now() + pauseMs > endMs) throw error;
      await delay(pauseMs * (0.5 + Math.random() / 2));
    }
  }
}
