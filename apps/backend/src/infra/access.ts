import { SetMetadata, applyDecorators, createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { ApiExtension } from '@nestjs/swagger';
import type { Role, Scope } from '@dcompute/shared-types';
import { AppError } from './errors.js';

/** Who asks: the acting account, the person behind it, and what the credential may do. */
export interface Principal {
  readonly accountId: string;
  readonly personId: string;
  readonly role: Role;
  readonly isOperator: boolean;
  readonly scopes: readonly Scope[];
  readonly via: 'session' | 'api_key';
  readonly apiKeyId: string | null;
  /** The session of an embedded sign-in, for signing out. */
  readonly sessionId: string | null;
  readonly ip: string | null;
}

/** Marks operations of the OpenAPI document that need no credential. */
export const OPEN_OPERATION = 'x-open';

export const PUBLIC_ROUTE = Symbol('public route');
export const PUBLIC_MARKET_ROUTE = Symbol('route of a public market');
export const ROUTE_SCOPE = Symbol('scope of a route');
export const ROUTE_ROLE = Symbol('role of a route');

/** No credential needed. Every such route also stands in the pinned list of `test/http-access.table.ts`. */
export const Public = () => applyDecorators(SetMetadata(PUBLIC_ROUTE, true), ApiExtension(OPEN_OPERATION, true));

/** No credential needed where PUBLIC_MARKET=true; one that is sent counts all the same. */
export const PublicMarket = () => SetMetadata(PUBLIC_MARKET_ROUTE, true);

/** The scope that an API key needs. Without it: `read` for GET, `account:write` for everything else. */
export const RequireScope = (scope: Scope) => SetMetadata(ROUTE_SCOPE, scope);

/** What the acting account must be able to do: BOTH can do either. */
export const RequireRole = (role: 'RENT' | 'LEASE') => SetMetadata(ROUTE_ROLE, role);

/** The principal that the guard resolved, or null for a visitor of a public market. */
export const Visitor = createParamDecorator((_data: unknown, context: ExecutionContext): Principal | null => {
  return context.switchToHttp().getRequest<{ principal?: Principal }>().principal ?? null;
});

/** The principal that the guard resolved. */
export const CurrentPrincipal = createParamDecorator((_data: unknown, context: ExecutionContext): Principal => {
  const { principal } = context.switchToHttp().getRequest<{ principal?: Principal }>();
  if (!principal) throw new AppError('auth.required', { detail: 'Sign in, or send an API key as a bearer token.' });
  return principal;
});

/** Throws unless the account may rent (RENT or BOTH) or provide nodes (LEASE or BOTH). */
export function assertRole(role: Role, needed: 'RENT' | 'LEASE'): void {
  if (role === needed || role === 'BOTH') return;
  const what = needed === 'RENT' ? 'rent' : 'provide nodes';
  throw new AppError('auth.role_forbidden', {
    detail: `This account's role is ${role} and may not ${what}. Change it with PATCH /api/v1/me {"role": "BOTH"}.`,
  });
}

export function assertScope(principal: Principal, scope: Scope): void {
  if (scope === 'operator' && !principal.isOperator) {
    throw new AppError('auth.forbidden', { detail: 'Only an operator of this platform may do that.' });
  }
  if (principal.scopes.includes(scope)) return;
  throw new AppError('auth.scope_missing', { detail: `This API key needs the scope "${scope}".` });
}
