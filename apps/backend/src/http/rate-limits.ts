import { type CallHandler, type ExecutionContext, Inject, Injectable, type NestInterceptor } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Observable } from 'rxjs';
import { HTTP_CONFIG, type HttpConfig } from '../config/index.js';
import { AppError, Clock, type Principal, type Quota, RateLimiter } from '../infra/index.js';

/** Not counted: probes of an orchestrator, and guards, which have credentials of their own and no other source. */
const UNCOUNTED = /^\/(health|internal)\//;

/**
 * How often one address may call (before anything else is done for it), and one account (over all its sessions and keys,
 * once the guard knows it). Headers: draft-ietf-httpapi-ratelimit-headers.
 */
@Injectable()
export class RateLimits implements NestInterceptor {
  readonly #addresses: RateLimiter;
  readonly #accounts: RateLimiter;

  constructor(
    @Inject(HTTP_CONFIG) config: HttpConfig,
    private readonly clock: Clock,
  ) {
    this.#addresses = new RateLimiter(config.addressPerMinute);
    this.#accounts = new RateLimiter(config.accountPerMinute);
  }

  /** Throws request.rate_limited. */
  countAddress(request: FastifyRequest, reply: FastifyReply): void {
    if (UNCOUNTED.test(request.url)) return;
    enforce('address', this.#addresses.take(request.ip, this.clock.nowMs()), reply);
  }

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const http = context.switchToHttp();
    const { principal } = http.getRequest<{ principal?: Principal }>();
    if (principal) {
      enforce(
        'account',
        this.#accounts.take(principal.accountId, this.clock.nowMs()),
        http.getResponse<FastifyReply>(),
      );
    }
    return next.handle();
  }
}

function enforce(policy: string, quota: Quota, reply: FastifyReply): void {
  reply.header('ratelimit-policy', `"${policy}";q=${quota.limit};w=60`);
  reply.header('ratelimit', `"${policy}";r=${quota.remaining};t=${quota.resetSeconds}`);
  if (quota.allowed) return;
  throw new AppError('request.rate_limited', {
    detail: `At most ${quota.limit} requests a minute for one ${policy}. Try again in ${quota.retryAfterSeconds} seconds.`,
    retryAfterSeconds: quota.retryAfterSeconds,
  });
}
