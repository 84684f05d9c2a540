import type { ErrorCode } from '@dcompute/shared-types';

export interface AppErrorOptions {
  /** What went wrong and what to do, in a sentence for people. */
  readonly detail: string;
  /** The fields that were refused. */
  readonly errors?: readonly { field: string; message: string }[];
  /** Seconds after which the same request may succeed. */
  readonly retryAfterSeconds?: number;
  readonly cause?: unknown;
}

/** A refusal with a stable code. One place (`http/problem.filter.ts`) turns it into a response. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly errors: AppErrorOptions['errors'];
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, options: AppErrorOptions) {
    super(options.detail, { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.errors = options.errors;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/** The answer for a resource that does not exist or belongs to somebody else: the two look alike to a stranger. */
export function notFound(what: string): AppError {
  return new AppError('resource.not_found', { detail: `There is no such ${what} in your account.` });
}
