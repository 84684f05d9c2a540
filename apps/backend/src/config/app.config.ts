import { z } from 'zod';
import { flag, port } from './env.js';

const role = z.enum(['all', 'http', 'gateway', 'worker', 'guard']).default('all');

/** What main.ts has to know before it can tell which other variables count. */
export const roleSchema = z.object({ APP_ROLE: role }).transform((env) => env.APP_ROLE);

export const appSchema = z
  .object({
    NODE_ENV: z.enum(['development', 'test', 'production']).default('production'),
    APP_ROLE: role,
    HOST: z.string().min(1).default('127.0.0.1'),
    PORT: port.default(3000),
    PUBLIC_URL: z.url().optional(),
    PUBLIC_MARKET: flag(false),
    LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  })
  .transform((env) => ({
    nodeEnv: env.NODE_ENV,
    role: env.APP_ROLE,
    /** What this process does by its role. Sweeps, ticks and other timers run in `timers` only. */
    duties: {
      rest: env.APP_ROLE === 'all' || env.APP_ROLE === 'http',
      agents: env.APP_ROLE === 'all' || env.APP_ROLE === 'gateway',
      timers: env.APP_ROLE === 'all' || env.APP_ROLE === 'worker',
    },
    host: env.HOST,
    port: env.PORT,
    publicUrl: env.PUBLIC_URL ?? `http://localhost:${env.PORT}`,
    publicMarket: env.PUBLIC_MARKET,
    logLevel: env.LOG_LEVEL,
  }));
export type AppConfig = z.infer<typeof appSchema>;
export const APP_CONFIG = Symbol('AppConfig');
