import { z } from 'zod';
import { Role, Scope } from '../entities/enums.js';
import { User } from '../entities/user.js';
import { pageOf } from './pages.js';

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

export const TeamRole = z.enum(['owner', 'admin', 'member']).meta({ id: 'TeamRole' });
export type TeamRole = z.infer<typeof TeamRole>;

/** An account that the person may act for: the own one (`role` null), or a team, by the header `X-Account-Id`. */
export const ActingAccount = z.object({ account: User, role: TeamRole.nullable() }).meta({ id: 'ActingAccount' });
export type ActingAccount = z.infer<typeof ActingAccount>;

/** At most 100 teams: always one page. */
export const ActingAccountPage = pageOf(ActingAccount, 'ActingAccountPage');
export type ActingAccountPage = z.infer<typeof ActingAccountPage>;

export const CreateTeamRequest = z
  .object({ name: z.string().trim().min(1).max(120) })
  .meta({ id: 'CreateTeamRequest' });
export type CreateTeamRequest = z.infer<typeof CreateTeamRequest>;

export const TeamMember = z
  .object({
    personId: z.uuid(),
    email: z.email(),
    displayName: z.string().nullable(),
    role: TeamRole,
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'TeamMember' });
export type TeamMember = z.infer<typeof TeamMember>;

export const TeamMemberPage = pageOf(TeamMember, 'TeamMemberPage');
export type TeamMemberPage = z.infer<typeof TeamMemberPage>;

export const SetTeamMemberRequest = z
  .object({ email: z.email().max(254), role: TeamRole })
  .meta({ id: 'SetTeamMemberRequest' });
export type SetTeamMemberRequest = z.infer<typeof SetTeamMemberRequest>;
