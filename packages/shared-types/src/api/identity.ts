import { z } from 'zod';
import { Role, Scope } from '../entities/enums.js';
import { User } from '../entities/user.js';

export const SignUpRequest = z
  .object({
    email: z.email().max(254),
    password: z.string().min(10, 'must have at least 10 characters').max(200),
    displayName: z.string().min(1).max(120).optional(),
    role: Role.default('BOTH'),
  })
  .meta({ id: 'SignUpRequest' });
export type SignUpRequest = z.infer<typeof SignUpRequest>;

export const SignInRequest = z
  .object({ email: z.email().max(254), password: z.string().min(1).max(200) })
  .meta({ id: 'SignInRequest' });
export type SignInRequest = z.infer<typeof SignInRequest>;

/** `token` is a short-lived RS256 JWT for `Authorization: Bearer`; `sessionToken` renews it until sign-out. */
export const SessionResponse = z
  .object({
    token: z.string(),
    tokenExpiresAt: z.iso.datetime(),
    sessionToken: z.string(),
    user: User,
  })
  .meta({ id: 'SessionResponse' });
export type SessionResponse = z.infer<typeof SessionResponse>;

export const RefreshRequest = z.object({ sessionToken: z.string().min(1).max(500) }).meta({ id: 'RefreshRequest' });
export type RefreshRequest = z.infer<typeof RefreshRequest>;

/** Who asks: the acting account, the person behind it, and what this credential may do. */
export const Me = z
  .object({
    account: User,
    personId: z.uuid(),
    scopes: z.array(Scope),
    via: z.enum(['session', 'api_key']),
  })
  .meta({ id: 'Me' });
export type Me = z.infer<typeof Me>;

export const UpdateMeRequest = z
  .object({ displayName: z.string().min(1).max(120).optional(), role: Role.optional() })
  .meta({ id: 'UpdateMeRequest' });
export type UpdateMeRequest = z.infer<typeof UpdateMeRequest>;
