import { randomUUID } from 'node:crypto';
import { Problem } from '@dcompute/shared-types';

export interface RequestOptions {
  readonly token?: string | undefined;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

export interface ApiResponse<T = unknown> {
  readonly status: number;
  readonly headers: Headers;
  /** The parsed JSON; null without a body. */
  readonly body: T;
}

/** Sends one request, whatever the answer. A string body goes out as it is, anything else as JSON. */
export async function sendRequest<T = unknown>(
  url: string,
  method: string,
  path: string,
  { token, body, headers = {} }: RequestOptions = {},
): Promise<ApiResponse<T>> {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  });
  const text = await response.text();
  const json = /json/.test(response.headers.get('content-type') ?? '') && text ? (JSON.parse(text) as T) : (null as T);
  return { status: response.status, headers: response.headers, body: json };
}

/** A refusal that a test did not expect; `problem` has its code. */
export class ApiProblem extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem,
  ) {
    super(`${status} ${problem.code}: ${problem.detail}`);
    this.name = 'ApiProblem';
  }
}

/** The API with one credential. Every method throws an ApiProblem when the answer is no success. */
export class ApiClient {
  constructor(
    private readonly url: string,
    readonly token: string,
  ) {}

  get<T = unknown>(path: string): Promise<T> {
    return this.#send<T>('GET', path);
  }

  /** A create: with an Idempotency-Key, a new one unless the caller names it. */
  post<T = unknown>(path: string, body: unknown = {}, idempotencyKey: string = randomUUID()): Promise<T> {
    return this.#send<T>('POST', path, { body, headers: { 'idempotency-key': idempotencyKey } });
  }

  patch<T = unknown>(path: string, body: unknown): Promise<T> {
    return this.#send<T>('PATCH', path, { body });
  }

  delete<T = unknown>(path: string): Promise<T> {
    return this.#send<T>('DELETE', path);
  }

  /** One request whose answer may be anything. */
  request<T = unknown>(method: string, path: string, options: RequestOptions = {}): Promise<ApiResponse<T>> {
    return sendRequest<T>(this.url, method, path, { token: this.token, ...options });
  }

  async #send<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    const { status, body } = await this.request<T>(method, path, options);
    if (status >= 400) throw new ApiProblem(status, Problem.parse(body));
    return body;
  }
}
