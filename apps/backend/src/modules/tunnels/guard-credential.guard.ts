import { timingSafeEqual } from 'node:crypto';
import { type CanActivate, type ExecutionContext, Injectable, createParamDecorator } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { AppError, Database, hashBearerSecret } from '../../infra/index.js';

type GuardRequest = FastifyRequest & { proxyServerId?: string };

/** Lets in the guard of an enabled proxy server, by the credential that only it has. It speaks for that server alone. */
@Injectable()
export class GuardCredentialGuard implements CanActivate {
  constructor(private readonly db: Database) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<GuardRequest>();
    const credential = /^Bearer ([^\s]{16,512})$/.exec(request.headers.authorization ?? '')?.[1];
    if (credential === undefined) throw refused();
    const hash = hashBearerSecret(credential);
    const [server] = await this.db.query<{ id: string; hash: Buffer }>(
      `SELECT "id", "guardCredentialHash" AS "hash" FROM "ProxyServer" WHERE "guardCredentialHash" = $1 AND "enabled"`,
      [hash],
    );
    if (!server || !timingSafeEqual(server.hash, hash)) throw refused();
    request.proxyServerId = server.id;
    return true;
  }
}

/** The proxy server whose guard asks. */
export const CallingProxyServer = createParamDecorator((_data: unknown, context: ExecutionContext): string => {
  const { proxyServerId } = context.switchToHttp().getRequest<GuardRequest>();
  if (proxyServerId === undefined) throw refused();
  return proxyServerId;
});

function refused(): AppError {
  return new AppError('auth.required', {
    detail: 'Only the guard of an enabled proxy server may ask, with its own credential.',
  });
}
