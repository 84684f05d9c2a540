import { z } from 'zod';

/** A comma-separated list of the given items; empty without the variable. */
function list<T extends z.ZodType<string, string>>(item: T) {
  return z
    .string()
    .default('')
    .transform((text) =>
      text
        .split(',')
        .map((part) => part.trim())
        .filter(Boolean),
    )
    .pipe(z.array(item).max(64));
}

const perMinute = z.coerce.number().int().min(1).max(10_000_000);

/** The REST edge: who may call it how often, and whom it believes about the caller's address. */
export const httpSchema = z
  .object({
    /** Requests a minute of one account, over all its sessions and keys. */
    RATE_LIMIT_PER_MINUTE: perMinute.default(1200),
    /** Requests a minute of one address, signed in or not. */
    RATE_LIMIT_IP_PER_MINUTE: perMinute.default(6000),
    /** Reverse proxies whose X-Forwarded-For counts. */
    TRUSTED_PROXIES: list(z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()])),
    /** Origins of web pages that may call the API from a browser. */
    CORS_ORIGINS: list(z.url()),
    HTTP_BODY_LIMIT_BYTES: z.coerce.number().int().min(1024).max(67_108_864).default(1_048_576),
    /** How long requests under way may take to end after SIGTERM. */
    SHUTDOWN_LIMIT_MS: z.coerce.number().int().min(100).max(600_000).default(20_000),
  })
  .transform((env) => ({
    accountPerMinute: env.RATE_LIMIT_PER_MINUTE,
    addressPerMinute: env.RATE_LIMIT_IP_PER_MINUTE,
    trustedProxies: env.TRUSTED_PROXIES,
    corsOrigins: env.CORS_ORIGINS,
    bodyLimitBytes: env.HTTP_BODY_LIMIT_BYTES,
    shutdownLimitMs: env.SHUTDOWN_LIMIT_MS,
  }));
export type HttpConfig = z.infer<typeof httpSchema>;
export const HTTP_CONFIG = Symbol('HttpConfig');
