import { setTimeout as delay } from 'node:timers/promises';
import { type BeforeApplicationShutdown, Injectable } from '@nestjs/common';
import { AppError, Database, Logger, MIGRATIONS_FOLDER, missingMigrations } from '../infra/index.js';

const CHECK_LIMIT_MS = 2_000;
const RETRY_SECONDS = 5;

/** Whether this process should get requests. */
@Injectable()
export class Readiness implements BeforeApplicationShutdown {
  #stopping = false;
  /** One check at a time, however many ask. */
  #checking: Promise<string | null> | null = null;

  constructor(
    private readonly db: Database,
    private readonly logger: Logger,
  ) {}

  beforeApplicationShutdown(): void {
    this.#stopping = true;
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** Throws service.unavailable with the reason. */
  async check(): Promise<void> {
    const reason = this.#stopping ? 'This process is shutting down.' : await this.#once();
    if (reason !== null)
      throw new AppError('service.unavailable', { detail: reason, retryAfterSeconds: RETRY_SECONDS });
  }

  #once(): Promise<string | null> {
    this.#checking ??= this.#reasonNotReady().finally(() => (this.#checking = null));
    return this.#checking;
  }

  async #reasonNotReady(): Promise<string | null> {
    const limit = new AbortController();
    try {
      return await Promise.race([
        this.#missing(),
        delay(CHECK_LIMIT_MS, 'The database does not answer.', { signal: limit.signal, ref: false }),
      ]);
    } catch (error) {
      this.logger.warn('health.not_ready', { message: error instanceof Error ? error.message : String(error) });
      return 'The database cannot be reached.';
    } finally {
      limit.abort();
    }
  }

  async #missing(): Promise<string | null> {
    const missing = await missingMigrations(this.db, MIGRATIONS_FOLDER);
    return missing.length === 0 ? null : `The database lacks migrations: ${missing.join(', ')}.`;
  }
}
