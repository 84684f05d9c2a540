import { randomBytes, randomUUID } from 'node:crypto';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Role, SessionResponse, User } from '@dcompute/shared-types';
import pg from 'pg';
import { type Backend, startBackend as start } from '../src/backend.js';
import type { RegisteredRoute } from '../src/http/configure-http.js';
import { ApiClient, type ApiResponse, type RequestOptions, sendRequest } from './api-client.js';
import { freePort } from './free-port.js';
import { type TestDatabase, createTestDatabase } from './test-database.js';

export { ApiClient, ApiProblem, type ApiResponse, type RequestOptions } from './api-client.js';

const PASSWORD = 'correct horse battery';

/** Somebody who is signed in. */
export interface SignedIn {
  readonly client: ApiClient;
  readonly user: User;
  readonly session: SessionResponse;
  readonly password: string;
}

/** A real backend of one test file, on a database of its own. */
export interface BackendApp {
  readonly url: string;
  readonly port: number;
  readonly app: NestFastifyApplication;
  readonly routes: readonly RegisteredRoute[];
  readonly env: Readonly<Record<string, string>>;
  readonly database: TestDatabase;
  /** A connection of the database's owner: for looking, and for rows that no route makes. */
  readonly db: pg.Client;
  /** Signs a new person up. */
  signUp(role?: Role): Promise<SignedIn>;
  /** Signs the operator in. */
  operator(): Promise<SignedIn>;
  /** One request whose answer may be anything. */
  request<T = unknown>(method: string, path: string, options?: RequestOptions): Promise<ApiResponse<T>>;
  /** Gives an account money, in dollars. */
  grant(userId: string, amount: string): Promise<void>;
  /** Ends the backend and starts another one on the same database and port. */
  restart(overrides?: Record<string, string>): Promise<void>;
  /** Ends the backend and drops its database. */
  close(): Promise<void>;
}

/** Starts it. `overrides` are environment variables over the short limits of `testEnvironment`. */
export async function startBackend(overrides: Record<string, string> = {}): Promise<BackendApp> {
  const database = await createTestDatabase();
  const port = await freePort();
  const env = { ...testEnvironment(database.databaseUrl, port), ...overrides };
  const db = new pg.Client({ connectionString: database.ownerUrl });
  try {
    await db.connect();
    return new RunningBackend(database, db, port, env, await start(env));
  } catch (error) {
    await db.end();
    await database.drop();
    throw error;
  }
}

/** A configuration whose limits are short enough for a test to wait for them. */
export function testEnvironment(databaseUrl: string, port: number): Record<string, string> {
  return {
    NODE_ENV: 'test',
    LOG_LEVEL: process.env['LOG_LEVEL'] ?? 'error',
    APP_ROLE: 'all',
    HOST: '127.0.0.1',
    PORT: String(port),
    PUBLIC_URL: `http://127.0.0.1:${port}`,
    DATABASE_URL: databaseUrl,
    DATABASE_POOL_SIZE: '10',
    SECRETS_KEYS: `test:${randomBytes(32).toString('base64')}`,
    EMBEDDED_AUTH_SECRET: randomBytes(24).toString('hex'),
    OPERATOR_EMAIL: 'operator@example.com',
    OPERATOR_PASSWORD: PASSWORD,
    RATE_LIMIT_PER_MINUTE: '1000000',
    RATE_LIMIT_IP_PER_MINUTE: '1000000',
    SIGN_IN_LIMIT_PER_MINUTE: '10000',
    HEARTBEAT_INTERVAL_MS: '200',
    USAGE_SEGMENT_MS: '500',
    GATEWAY_FLUSH_MS: '100',
    REV_POLL_MS: '100',
    NODE_SUSPECT_MS: '2000',
    NODE_UNREACHABLE_MS: '4000',
    NODE_CLONE_SILENCE_MS: '1500',
    SWEEP_MS: '100',
    BILLING_TICK_MS: '200',
    SETTLE_GRACE_MS: '500',
    PORT_REST_MS: '500',
    STOPPING_MS: '10000',
    SHUTDOWN_LIMIT_MS: '5000',
  };
}

class RunningBackend implements BackendApp {
  constructor(
    readonly database: TestDatabase,
    readonly db: pg.Client,
    readonly port: number,
    public env: Readonly<Record<string, string>>,
    private backend: Backend,
  ) {}

  get url(): string {
    return this.backend.url;
  }

  get app(): NestFastifyApplication {
    return this.backend.app;
  }

  get routes(): readonly RegisteredRoute[] {
    return this.backend.routes;
  }

  async signUp(role: Role = 'BOTH'): Promise<SignedIn> {
    const email = `${role.toLowerCase()}-${randomUUID()}@example.com`;
    return await this.#session('/api/v1/auth/sign-up', { email, password: PASSWORD, role });
  }

  async operator(): Promise<SignedIn> {
    const { OPERATOR_EMAIL: email, OPERATOR_PASSWORD: password } = this.env;
    return await this.#session('/api/v1/auth/sign-in', { email, password });
  }

  request<T = unknown>(method: string, path: string, options?: RequestOptions): Promise<ApiResponse<T>> {
    return sendRequest<T>(this.url, method, path, options);
  }

  async grant(userId: string, amount: string): Promise<void> {
    const { client } = await this.operator();
    await client.post('/api/v1/operator/credits', { userId, amount, reason: 'for a test' });
  }

  async restart(overrides: Record<string, string> = {}): Promise<void> {
    await this.backend.close();
    this.env = { ...this.env, ...overrides };
    this.backend = await start(this.env);
  }

  async close(): Promise<void> {
    await this.backend.close();
    await this.db.end();
    await this.database.drop();
  }

  async #session(path: string, body: Record<string, string | undefined>): Promise<SignedIn> {
    const { status, body: session } = await this.request<SessionResponse>('POST', path, { body });
    if (status >= 400) throw new Error(`${path}: ${JSON.stringify(session)}`);
    return { client: new ApiClient(this.url, session.token), user: session.user, session, password: PASSWORD };
  }
}
