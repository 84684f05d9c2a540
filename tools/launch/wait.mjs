import { setTimeout as delay } from 'node:timers/promises';

/**
 * Waits until `check` returns a truthy value and returns it. Errors of `check` count as "not yet" and the last one is
 * named when time runs out.
 * @template T
 * @param {string} what named in the error
 * @param {() => Promise<T | false | undefined | null> | T | false | undefined | null} check
 * @param {{timeoutMs: number, intervalMs?: number, abort?: () => string | undefined}} options `abort` ends the wait early
 * @returns {Promise<T>}
 */
export async function waitFor(what, check, { timeoutMs, intervalMs = 50, abort }) {
  const deadline = Date.now() + timeoutMs;
  let last = 'nothing yet';
  for (;;) {
    try {
      const result = await check();
      if (result) return result;
    } catch (error) {
      last = error.message;
    }
    const reason = abort?.();
    if (reason) throw new Error(`${what}: ${reason}`);
    if (Date.now() >= deadline) throw new Error(`${what}: not ready after ${timeoutMs / 1000} s (${last})`);
    await delay(intervalMs);
  }
}
