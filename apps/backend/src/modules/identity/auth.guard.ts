import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { Scope } from '@dcompute/shared-types';
import type { FastifyRequest } from 'fastify';
import { APP_CONFIG, type AppConfig } from '../../config/index.js';
import {
  PUBLIC_MARKET_ROUTE,
  PUBLIC_ROUTE,
  type Principal,
  ROUTE_ROLE,
  ROUTE_SCOPE,
  assertRole,
  assertScope,
} from '../../infra/index.js';
import { PrincipalResolver } from './principal.resolver.js';

/** Denies by default: a route is open only when it says so, and each request carries its principal from here on. */
@Injectable()
export class AuthGuard implements CanActivate {
  constructor(
    @Inject(Reflector) private readonly reflector: Reflector,
    private readonly principals: PrincipalResolver,
    @Inject(APP_CONFIG) private readonly config: AppConfig,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const targets = [context.getHandler(), context.getClass()];
    if (this.reflector.getAllAndOverride<boolean>(PUBLIC_ROUTE, targets)) return true;
    const request = context.switchToHttp().getRequest<FastifyRequest & { principal?: Principal }>();
    if (request.headers.authorization === undefined && this.#isOpenToVisitors(targets)) return true;
    const actFor = request.headers['x-account-id'];
    const principal = await this.principals.resolve({
      authorization: request.headers.authorization,
      actFor: typeof actFor === 'string' ? actFor : undefined,
      ip: request.ip,
    });
    const fallback: Scope = request.method === 'GET' ? 'read' : 'account:write';
    assertScope(principal, this.reflector.getAllAndOverride<Scope>(ROUTE_SCOPE, targets) ?? fallback);
    const role = this.reflector.getAllAndOverride<'RENT' | 'LEASE' | undefined>(ROUTE_ROLE, targets);
    if (role) assertRole(principal.role, role);
    request.principal = principal;
    return true;
  }

  #isOpenToVisitors(targets: Parameters<Reflector['getAllAndOverride']>[1]): boolean {
    return this.config.publicMarket && this.reflector.getAllAndOverride<boolean>(PUBLIC_MARKET_ROUTE, targets);
  }
}
