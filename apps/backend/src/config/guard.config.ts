import { z } from 'zod';
import { milliseconds } from './env.js';

/** APP_ROLE=guard: the process beside one frps. It has no database. */
export const guardSchema = z
  .object({
    GUARD_LISTEN: z
      .string()
      .regex(/^127\.0\.0\.1:\d{1,5}$/, 'must be 127.0.0.1:<port>: only the frps on the same machine may ask'),
    GUARD_STATE_DIR: z.string().min(1),
    GUARD_BACKEND_URL: z.url(),
    GUARD_CREDENTIAL: z.string().min(16),
    GUARD_PROXY_SERVER_ID: z.uuid(),
    FRPS_ADMIN_URL: z.url(),
    FRPS_ADMIN_USER: z.string().min(1),
    FRPS_ADMIN_PASSWORD: z.string().min(1),
    PROBE_INTERVAL_MS: milliseconds(30_000, { least: 100 }),
    PROXY_PROBE_HOST: z.string().min(1).default('127.0.0.1'),
    GUARD_BANDWIDTH_LIMIT: z
      .string()
      .regex(/^\d+(KB|MB)$/, 'must be a number followed by KB or MB')
      .optional(),
  })
  .transform((env) => ({
    listen: { host: '127.0.0.1', port: Number(env.GUARD_LISTEN.split(':')[1]) },
    stateDir: env.GUARD_STATE_DIR,
    backendUrl: env.GUARD_BACKEND_URL,
    credential: env.GUARD_CREDENTIAL,
    proxyServerId: env.GUARD_PROXY_SERVER_ID,
    frpsAdmin: { url: env.FRPS_ADMIN_URL, user: env.FRPS_ADMIN_USER, password: env.FRPS_ADMIN_PASSWORD },
    probeIntervalMs: env.PROBE_INTERVAL_MS,
    probeHost: env.PROXY_PROBE_HOST,
    bandwidthLimit: env.GUARD_BANDWIDTH_LIMIT ?? null,
  }));
export type GuardConfig = z.infer<typeof guardSchema>;
