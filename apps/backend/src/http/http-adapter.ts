import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import type { HttpConfig } from '../config/index.js';
import { describeProblem } from './problem.js';
import { sendProblem } from './problem.filter.js';

/** Time to send a whole request: a caller that trickles bytes must not hold a socket for ever. */
const RECEIVE_LIMIT_MS = 30_000;
/** Longer than the idle time-out of the usual load balancers, so that they never reuse a socket that we are closing. */
const KEEP_ALIVE_MS = 75_000;
const MAX_PARAMETER_LENGTH = 200;
const REQUEST_ID = /^[A-Za-z0-9_.-]{8,64}$/;

/** Fastify with its limits. */
export function buildHttpAdapter(config: HttpConfig): FastifyAdapter {
  return new FastifyAdapter({
    logger: false,
    bodyLimit: config.bodyLimitBytes,
    requestTimeout: RECEIVE_LIMIT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: 'idle',
    trustProxy: config.trustedProxies.length > 0 ? config.trustedProxies : false,
    genReqId: requestIdOf,
    routerOptions: { maxParamLength: MAX_PARAMETER_LENGTH },
    // Errors from before a route is known, such as a path that cannot be decoded.
    frameworkErrors: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) =>
      sendProblem(reply, describeProblem(error, request.id)),
  });
}

/** The caller's own id when it is harmless in logs and headers, else a new one. */
function requestIdOf(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
}
