import { randomUUID } from 'node:crypto';
import { Failure } from './failure.mjs';

/** An answer of the API that is not a success: the code and the sentence of its problem details. */
class ApiError extends Failure {
  constructor(status, problem) {
    const fields = (problem.errors ?? []).map(({ field, message }) => `${field}: ${message}`);
    super(
      [`${problem.detail ?? problem.title ?? 'request failed'} (${problem.code ?? status})`, ...fields].join('\n  '),
    );
    this.status = status;
    this.code = problem.code;
    this.passing = true;
  }
}

/**
 * A small client of the REST API.
 * @param {{url: string, token?: string | (() => string | Promise<string>)}} options
 */
export function restClient({ url, token }) {
  const send = async (method, path, body, headers = {}) => {
    const bearer = typeof token === 'function' ? await token() : token;
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        ...(bearer ? { authorization: `Bearer ${bearer}` } : {}),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(30_000),
    });
    const text = await response.text();
    const json = text && /json/.test(response.headers.get('content-type') ?? '') ? JSON.parse(text) : {};
    if (!response.ok) throw new ApiError(response.status, json);
    return json;
  };
  return {
    get: (path) => send('GET', path),
    /** A create: carries an idempotency key, a new one unless the caller names it. */
    post: (path, body = {}, idempotencyKey = randomUUID()) =>
      send('POST', path, body, { 'idempotency-key': idempotencyKey }),
    patch: (path, body) => send('PATCH', path, body),
    delete: (path) => send('DELETE', path),
  };
}
