import type { z } from 'zod';

/** Wrong or missing configuration: names every variable and what it must be. */
export class ConfigError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(`The configuration is not usable:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.name = 'ConfigError';
  }
}

/** Parses one domain of the environment. An empty variable counts as unset. Throws a ConfigError. */
export function loadConfig<T extends z.ZodType>(schema: T, env: NodeJS.ProcessEnv = process.env): z.output<T> {
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''));
  const parsed = schema.safeParse(set);
  if (parsed.success) return parsed.data;
  throw new ConfigError(
    parsed.error.issues.map((issue) => {
      const name = String(issue.path[0] ?? 'environment');
      const missing = set[name] === undefined && issue.code === 'invalid_type';
      return `${name}: ${missing ? 'is not set' : [issue.path.slice(1).join('.'), issue.message].filter(Boolean).join(' ')}`;
    }),
  );
}
