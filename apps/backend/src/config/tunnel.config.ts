import { z } from 'zod';
import { json, milliseconds, port } from './env.js';

const ProxyServerSeed = z.object({
  id: z.uuid(),
  name: z.string().min(1).max(60),
  host: z.string().min(1).max(253),
  bindPort: port,
  serverName: z.string().min(1).max(253),
  caPem: z.string().includes('BEGIN CERTIFICATE'),
  authToken: z.string().min(16),
  portStart: port,
  portEnd: port,
});
export type ProxyServerSeed = z.infer<typeof ProxyServerSeed>;

export const tunnelSchema = z
  .object({
    PROXY_SERVERS: json(z.array(ProxyServerSeed).max(1000)).default([]),
    GUARD_CREDENTIALS: z
      .string()
      .regex(
        /^[0-9a-f-]{36}:[^,:]{16,}(,[0-9a-f-]{36}:[^,:]{16,})*$/,
        'must be "<proxy server id>:<secret of at least 16 characters>[,...]"',
      )
      .optional(),
    PORT_REST_MS: milliseconds(120_000, { least: 0 }),
  })
  .transform((env) => ({
    proxyServers: env.PROXY_SERVERS,
    guardCredentials: (env.GUARD_CREDENTIALS ?? '')
      .split(',')
      .filter(Boolean)
      .map((entry) => ({ proxyServerId: entry.slice(0, 36), secret: entry.slice(37) })),
    portRestMs: env.PORT_REST_MS,
  }));
export type TunnelConfig = z.infer<typeof tunnelSchema>;
export const TUNNEL_CONFIG = Symbol('TunnelConfig');
