import { type ArgumentsHost, Catch, type ExceptionFilter, Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AppError, Logger } from '../infra/index.js';
import { type ProblemResponse, describeProblem } from './problem.js';

/** Answers every error as `application/problem+json`; what is our own fault is logged with its stack. */
@Injectable()
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly logger: Logger) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const response = describeProblem(error, request.id);
    if (response.status >= 500) this.#log(error, request, response);
    sendProblem(http.getResponse<FastifyReply>(), response);
  }

  /** A refusal that we foresaw is worth a line; anything else is a fault of ours and comes with its stack. */
  #log(error: unknown, request: FastifyRequest, { problem }: ProblemResponse): void {
    const fields = {
      requestId: request.id,
      method: request.method,
      route: request.routeOptions.url,
      code: problem.code,
    };
    if (error instanceof AppError) this.logger.warn('http.request_refused', { ...fields, detail: problem.detail });
    else this.logger.error('http.request_failed', error, fields);
  }
}

export function sendProblem(reply: FastifyReply, { status, problem, retryAfterSeconds }: ProblemResponse): void {
  if (reply.sent) return;
  if (retryAfterSeconds !== undefined) reply.header('retry-after', String(retryAfterSeconds));
  if (status === 401) reply.header('www-authenticate', 'Bearer');
  reply.code(status).type('application/problem+json').send(JSON.stringify(problem));
}
