import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { APP_CONFIG, type AppConfig, HTTP_CONFIG, type HttpConfig } from '../config/index.js';
import { AppError, Logger, type Principal } from '../infra/index.js';
import { RateLimits } from './rate-limits.js';
import { Readiness } from './readiness.js';

/** A route as the router has it. */
export interface RegisteredRoute {
  readonly method: string;
  readonly url: string;
}

/** Sets up what holds for every request, before the routes exist. Returns the list that the router's routes end up in. */
export function configureHttp(app: NestFastifyApplication): readonly RegisteredRoute[] {
  const config = app.get<AppConfig>(APP_CONFIG);
  const { corsOrigins } = app.get<HttpConfig>(HTTP_CONFIG);
  const fastify = app.getHttpAdapter().getInstance();
  const routes = collectRoutes(fastify);
  const limits = app.get(RateLimits);
  const logger = app.get(Logger);
  const readiness = app.get(Readiness);
  if (corsOrigins.length > 0) app.enableCors({ origin: corsOrigins, exposedHeaders: EXPOSED_HEADERS, maxAge: 600 });
  fastify.addHook('onRequest', async (request, reply) => {
    setHeaders(request, reply, config.publicUrl);
    if (!config.duties.rest) refuseRest(request);
    limits.countAddress(request, reply);
  });
  // A connection that outlived its last answer would hold up the shutdown until its client lets go.
  fastify.addHook(
    'onSend',
    async (_request, reply) => void (readiness.stopping && reply.header('connection', 'close')),
  );
  fastify.addHook('onResponse', async (request, reply) => logRequest(logger, request, reply));
  return routes;
}

const EXPOSED_HEADERS = ['x-request-id', 'ratelimit', 'ratelimit-policy', 'retry-after'];

function collectRoutes(fastify: FastifyInstance): RegisteredRoute[] {
  const routes: RegisteredRoute[] = [];
  fastify.addHook('onRoute', ({ method, url }) => {
    for (const name of [method].flat()) routes.push({ method: name, url });
  });
  return routes;
}

/** Answers are data for one caller: never cached, never sniffed, never framed, never run. */
function setHeaders(request: FastifyRequest, reply: FastifyReply, publicUrl: string): void {
  reply.headers({
    'x-request-id': request.id,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'referrer-policy': 'no-referrer',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  });
  if (publicUrl.startsWith('https:')) reply.header('strict-transport-security', 'max-age=31536000; includeSubDomains');
}

/** The roles `gateway` and `worker` share the modules, but answer for their health only. */
function refuseRest(request: FastifyRequest): void {
  if (request.url.startsWith('/health/')) return;
  throw new AppError('resource.not_found', { detail: 'This process does not serve the REST API.' });
}

function logRequest(logger: Logger, request: FastifyRequest & { principal?: Principal }, reply: FastifyReply): void {
  const route = request.routeOptions.url ?? null;
  const level = route?.startsWith('/health/') ? 'debug' : 'info';
  logger[level]('http.request', {
    requestId: request.id,
    method: request.method,
    route,
    status: reply.statusCode,
    durationMs: Math.round(reply.elapsedTime),
    accountId: request.principal?.accountId ?? null,
  });
}
