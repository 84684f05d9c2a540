import { setTimeout as delay } from 'node:timers/promises';

const LIMIT_MS = 20_000;
const STEP_MS = 10;

/** Waits until `check` gives something truthy and returns it; after `limitMs` it fails and names `what`. */
export async function until<T>(
  what: string,
  check: () => T | Promise<T>,
  { limitMs = LIMIT_MS } = {},
): Promise<NonNullable<T>> {
  const deadline = Date.now() + limitMs;
  let last: unknown;
  for (;;) {
    try {
      const found = await check();
      if (found) return found;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`waited ${limitMs} ms for ${what}`, { cause: last });
    await delay(STEP_MS);
  }
}
