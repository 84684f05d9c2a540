import { z } from 'zod';

/** A whole number of milliseconds within bounds. */
export function milliseconds(defaultMs: number, { least = 1, most = 31_536_000_000 } = {}) {
  return z.coerce.number().int().min(least).max(most).default(defaultMs);
}

/** `true` or `false`, nothing else: "no" must not count as yes. */
export function flag(defaultValue: boolean) {
  return z
    .enum(['true', 'false'])
    .default(defaultValue ? 'true' : 'false')
    .transform((text) => text === 'true');
}

export const port = z.coerce.number().int().min(1).max(65_535);

/** Text that holds JSON of the given shape. */
export function json<T extends z.ZodType>(schema: T) {
  return z
    .string()
    .transform((text, context) => {
      try {
        return JSON.parse(text) as unknown;
      } catch {
        context.addIssue({ code: 'custom', message: 'must be JSON' });
        return z.NEVER;
      }
    })
    .pipe(schema);
}
