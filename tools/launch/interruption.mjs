import { constants } from 'node:os';
import { Failure } from './failure.mjs';

const controller = new AbortController();

/**
 * Aborted by the first Ctrl-C, SIGTERM or SIGHUP of a command that called `catchSignals`.
 * @type {{readonly aborted: boolean, readonly reason: Interrupted, throwIfAborted: () => void, addEventListener: (name: 'abort', listener: () => void, options?: {once: boolean}) => void, removeEventListener: (name: 'abort', listener: () => void) => void}}
 */
export const interruption = controller.signal;

/** Somebody asked this command to end before it was through. */
class Interrupted extends Failure {
  constructor(signal) {
    super(`Ended by ${signal}.`);
    this.exitCode = 128 + constants.signals[signal];
  }
}

/**
 * From now on a signal ends waits and build steps with `Interrupted`, so that the command gets to its clean-up; further
 * signals do not cut the clean-up short.
 */
export function catchSignals() {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
    process.on(signal, () => controller.abort(new Interrupted(signal)));
}

/** Resolves with the first signal. */
export function interrupted() {
  return new Promise((resolve) => {
    if (interruption.aborted) resolve();
    else interruption.addEventListener('abort', () => resolve(), { once: true });
  });
}
