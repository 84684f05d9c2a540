import { z } from 'zod';

/** Every stable error code of the REST API. A code is never reused for another meaning. */
export const ErrorCode = z
  .enum([
    'auth.required',
    'auth.invalid_credentials',
    'auth.forbidden',
    'auth.role_forbidden',
    'auth.scope_missing',
    'auth.key_revoked',
    'auth.email_taken',
    'request.invalid',
    'request.too_large',
    'request.rate_limited',
    'resource.not_found',
    'team.last_owner',
    'ssh_key.exists',
    'quota.exceeded',
    'idempotency.key_reused',
    'idempotency.in_progress',
    'idempotency.key_required',
    'offer.unavailable',
    'rental.insufficient_funds',
    'rental.money_cap_too_low',
    'rental.invalid_state',
    'rental.capacity_taken',
    'rental.ssh_key_required',
    'rental.no_port_free',
    'rental.run_type_unsupported',
    'node.not_connected',
    'node.not_frozen',
    'ledger.invalid_amount',
    'service.unavailable',
    'internal',
  ])
  .meta({ id: 'ErrorCode' });
export type ErrorCode = z.infer<typeof ErrorCode>;

/** RFC 9457 problem details: the body of every error, as `application/problem+json`. */
export const Problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    code: ErrorCode,
    /** What went wrong and what to do, in a sentence. */
    detail: z.string(),
    /** The fields that were refused, with the reason of each. */
    errors: z.array(z.object({ field: z.string(), message: z.string() })).optional(),
    requestId: z.string().optional(),
  })
  .meta({ id: 'Problem' });
export type Problem = z.infer<typeof Problem>;
