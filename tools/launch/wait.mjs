import { setTimeout as delay } from 'node:timers/promises';
import { Failure } from './failure.mjs';
import { interruption } from './interruption.mjs';

/**
 * Waits until `check` returns a truthy value and returns it. Errors of `check` count as "not yet" and the last one is
 * named when time runs out; a `Failure` that is not passing ends the wait.
 * @template T
 * @param {string} what named in the error
 * @param {() => Promise<T | false | undefined | null> | T | false | undefined | null} check
 * @param {{timeoutMs: number, intervalMs?: number, abort?: () => string | undefined, evenInterrupted?: boolean}} options
 *   `abort` ends the wait early; `evenInterrupted` is for clean-up: a signal does not end the wait
 * @returns {Promise<T>}
 */
export async function waitFor(what, check, { timeoutMs, intervalMs = 50, abort, evenInterrupted = false }) {
  const deadline = performance.now() + timeoutMs;
  let last = 'nothing yet';
  for (;;) {
    if (!evenInterrupted) interruption.throwIfAborted();
    try {
      const result = await check();
      if (result) return result;
    } catch (error) {
      if (error instanceof Failure && !error.passing) throw error;
      last = error.message;
    }
    const reason = abort?.();
    if (reason) throw new Error(`${what}: ${reason}`);
    if (performance.now() >= deadline) throw new Error(`${what}: not ready after ${timeoutMs / 1000} s (${last})`);
    await delay(intervalMs);
  }
}
