import { HttpException } from '@nestjs/common';
import type { ErrorCode, Problem } from '@dcompute/shared-types';
import { AppError, isDatabaseUnavailable } from '../infra/index.js';
import { PROBLEMS } from './problem-table.js';

const RETRY_UNAVAILABLE_SECONDS = 5;

/** An error as the client sees it: RFC 9457 problem details and what goes into headers. */
export interface ProblemResponse {
  readonly status: number;
  readonly problem: Problem;
  readonly retryAfterSeconds: number | undefined;
}

/**
 * Turns any error into problem details. Only an AppError's own sentence reaches the client: the message of every other
 * error may hold SQL, paths or secrets.
 */
export function describeProblem(error: unknown, requestId: string): ProblemResponse {
  const refusal = error instanceof AppError ? error : translateForeignError(error);
  const { status, title } = PROBLEMS[refusal.code];
  return {
    status,
    retryAfterSeconds: refusal.retryAfterSeconds,
    problem: {
      type: `urn:dcompute:problem:${refusal.code}`,
      title,
      status,
      code: refusal.code,
      detail: refusal.message,
      ...(refusal.errors ? { errors: [...refusal.errors] } : {}),
      requestId,
    },
  };
}

/** Errors that Fastify, Nest or the database driver threw. */
function translateForeignError(error: unknown): AppError {
  if (isDatabaseUnavailable(error)) {
    return new AppError('service.unavailable', {
      detail: 'The platform cannot reach its database now. Try again in a few seconds.',
      retryAfterSeconds: RETRY_UNAVAILABLE_SECONDS,
      cause: error,
    });
  }
  const status = statusOf(error);
  const [code, detail] = SENTENCES[status] ?? (status >= 400 && status < 500 ? MALFORMED : INTERNAL);
  return new AppError(code, { detail, cause: error });
}

const MALFORMED: [ErrorCode, string] = ['request.invalid', 'The request is not well formed.'];
const INTERNAL: [ErrorCode, string] = [
  'internal',
  'Something went wrong on our side. Nothing was changed. Try again, and tell the operator the requestId if it goes on.',
];

const SENTENCES: Readonly<Record<number, [ErrorCode, string]>> = {
  400: ['request.invalid', 'The request is not well formed: its body must be JSON.'],
  404: ['resource.not_found', 'There is no such route. GET /api/openapi.json lists all of them.'],
  413: ['request.too_large', 'The body of the request is larger than this platform accepts.'],
  415: ['request.invalid', 'Send the body as JSON with the header "Content-Type: application/json".'],
};

function statusOf(error: unknown): number {
  if (error instanceof HttpException) return error.getStatus();
  if (error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number') return error.statusCode;
  return 500;
}
