import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import pg from 'pg';
import { DATABASE_CONFIG, type DatabaseConfig } from '../config/index.js';
import { Logger } from './logger.js';

/** A row as the driver returns it. int8 arrives as bigint, numeric as a decimal string, timestamptz as Date. */
export type Row = Record<string, unknown>;

/** Runs SQL: the pool, or the client of one transaction. */
export interface Queryable {
  query<R = Row>(text: string, params?: readonly unknown[]): Promise<R[]>;
}

/** One open transaction. Never held across I/O to anything but the database. */
export interface Tx extends Queryable {
  /** Runs after the commit, in order; never when the transaction rolls back. */
  afterCommit(effect: () => void): void;
}

const MAX_ATTEMPTS = 6;
/** Serialization failure, deadlock: the only errors that a second attempt can cure. */
const RETRYABLE_STATES = new Set(['40001', '40P01']);
const STATEMENT_TIMEOUT_MS = 30_000;
/** A server that vanished without a word never answers: then it is we who give up, and the connection with it. */
const ANSWER_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 5_000;

const types = new pg.TypeOverrides();
types.setTypeParser(pg.types.builtins.INT8, (text: string) => BigInt(text));

@Injectable()
export class Database implements Queryable, OnApplicationShutdown {
  readonly pool: pg.Pool;

  constructor(
    @Inject(DATABASE_CONFIG) config: DatabaseConfig,
    private readonly logger: Logger,
  ) {
    this.pool = new pg.Pool({
      connectionString: config.databaseUrl,
      max: config.poolSize,
      types,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      query_timeout: ANSWER_TIMEOUT_MS,
      keepAlive: true,
      idle_in_transaction_session_timeout: STATEMENT_TIMEOUT_MS,
      connectionTimeoutMillis: 10_000,
    });
    this.pool.on('error', (error) => this.logger.warn('database.idle_client_error', { message: error.message }));
  }

  async query<R = Row>(text: string, params: readonly unknown[] = []): Promise<R[]> {
    const result = await this.pool.query(text, params as unknown[]);
    return result.rows as R[];
  }

  /**
   * Runs `work` in one transaction (read committed). Serialization failures and deadlocks are retried with jitter, a
   * bounded number of times; so `work` must have no effect but through `tx`.
   */
  async transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#attempt(work);
      } catch (error) {
        if (attempt >= MAX_ATTEMPTS || !RETRYABLE_STATES.has(sqlStateOf(error) ?? '')) throw error;
        await delay(Math.random() * 10 * 2 ** attempt);
      }
    }
  }

  /** Also called twice: by a start that failed, and by whoever cleans up after it. */
  async onApplicationShutdown(): Promise<void> {
    if (!this.pool.ended) await this.pool.end();
  }

  async #attempt<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    const client = await this.pool.connect();
    const effects: (() => void)[] = [];
    const tx: Tx = {
      query: async <R>(text: string, params: readonly unknown[] = []) =>
        (await client.query(text, params as unknown[])).rows as R[],
      afterCommit: (effect) => void effects.push(effect),
    };
    let broken: Error | undefined;
    // A connection that breaks between two statements says so by an event, and without a listener that ends the process.
    const markBroken = (error: Error): void => void (broken = error);
    client.on('error', markBroken);
    try {
      await client.query('BEGIN');
      const result = await work(tx);
      await client.query('COMMIT');
      for (const effect of effects) effect();
      return result;
    } catch (error) {
      await client.query('ROLLBACK').catch((cause: Error) => (broken = cause));
      throw error;
    } finally {
      client.off('error', markBroken);
      client.release(broken);
    }
  }
}

/** The SQLSTATE of a PostgreSQL error, or undefined for any other value. */
export function sqlStateOf(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

/** The name of the constraint that a PostgreSQL error is about, if any. */
export function constraintOf(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.constraint : undefined;
}

/** System errors of a connection that could not be made or broke. */
const CONNECTION_ERRORS = new Set(['ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT', 'EPIPE']);
/** Connection exceptions, shutdown of the server, too many connections. */
const UNAVAILABLE_STATES = /^(08|57P0[1-3]|53300)/;
/** What the driver says without a code: its pool is exhausted, its socket has gone, or no answer came. */
const UNAVAILABLE_MESSAGES = /^(timeout exceeded when trying to connect|Connection terminated|Query read timeout)/;

/** Whether an error says that the database cannot be reached now, so that the same request may succeed later. */
export function isDatabaseUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return CONNECTION_ERRORS.has(code) || UNAVAILABLE_STATES.test(code) || UNAVAILABLE_MESSAGES.test(error.message);
}
