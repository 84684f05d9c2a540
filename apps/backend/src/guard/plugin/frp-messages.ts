import { z } from 'zod';

/**
 * What frps 0.70 sends to its server plugin. Fields that are empty are left out by frps. Source: pkg/plugin/server/types.go
 * and pkg/msg/msg.go.
 */
const Metas = z.record(z.string(), z.string()).nullish();

const FrpUser = z.object({ user: z.string().default(''), metas: Metas, run_id: z.string().default('') });

export const LoginContent = z.looseObject({ user: z.string().default(''), metas: Metas });
export type LoginContent = z.infer<typeof LoginContent>;

export const NewProxyContent = z.looseObject({
  user: FrpUser,
  proxy_name: z.string().default(''),
  proxy_type: z.string().default(''),
  remote_port: z.number().int().default(0),
  bandwidth_limit: z.string().optional(),
  bandwidth_limit_mode: z.string().optional(),
});
export type NewProxyContent = z.infer<typeof NewProxyContent>;

export const NewUserConnContent = z.looseObject({
  user: FrpUser,
  proxy_name: z.string().default(''),
  proxy_type: z.string().default(''),
  remote_addr: z.string().default(''),
});
export type NewUserConnContent = z.infer<typeof NewUserConnContent>;

export const PingContent = z.looseObject({ user: FrpUser });
export type PingContent = z.infer<typeof PingContent>;

export const PluginRequest = z.discriminatedUnion('op', [
  z.object({ op: z.literal('Login'), content: LoginContent }),
  z.object({ op: z.literal('NewProxy'), content: NewProxyContent }),
  z.object({ op: z.literal('NewUserConn'), content: NewUserConnContent }),
  z.object({ op: z.literal('Ping'), content: PingContent }),
]);
export type PluginRequest = z.infer<typeof PluginRequest>;

/** The plugin's answer. `unchange` is a JSON boolean; changed content is whole, since frps decodes it into an empty struct. */
export type PluginResponse =
  | { readonly reject: true; readonly reject_reason: string }
  | { readonly reject: false; readonly unchange: true }
  | { readonly reject: false; readonly unchange: false; readonly content: unknown };
