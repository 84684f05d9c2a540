import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../../infra/logger.js';
import type { BackendClient } from '../backend-client.js';
import type { BookFile } from './book-file.js';
import type { BookChanges, LeaseBook } from './lease-book.js';

const LONG_POLL_MS = 20_000;
/** A safety net: everything is read anew so often. */
const FULL_SYNC_MS = 3_600_000;
const RETRY_MS = { first: 100, most: 5_000 };
/** Strangers can make the guard ask: they get this many questions out of it, not more. */
const ASK_INTERVAL_MS = 20;

export interface BookSyncPorts {
  readonly book: LeaseBook;
  readonly file: BookFile;
  readonly backend: BackendClient;
  readonly logger: Logger;
  /** Called with what each sync changed, before it is on disk. */
  readonly onChanges: (changes: BookChanges, full: boolean) => void;
}

/** Keeps the lease book at the platform's present: by a long poll, and at once when somebody unknown appears. */
export class BookSync {
  readonly #stopping = new AbortController();
  #loop: Promise<void> | undefined;
  #asking: Promise<boolean> | undefined;
  #queued: Promise<boolean> | undefined;
  #lastAskAt = 0;
  #syncedAt: Date | null = null;

  constructor(private readonly ports: BookSyncPorts) {}

  /** When the platform last answered. */
  get syncedAt(): Date | null {
    return this.#syncedAt;
  }

  start(): void {
    this.#loop ??= this.#follow();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
    await this.#asking;
    await this.ports.file.settled();
  }

  /**
   * Brings the book to a state that is not older than this call. False when the platform is away. Calls that come while
   * one is under way share the next one.
   */
  async catchUp(): Promise<boolean> {
    if (!this.#asking) {
      this.#asking = this.#ask().finally(() => (this.#asking = undefined));
      return await this.#asking;
    }
    this.#queued ??= this.#asking.then(async () => {
      this.#queued = undefined;
      return await this.catchUp();
    });
    return await this.#queued;
  }

  async #ask(): Promise<boolean> {
    try {
      await delay(Math.max(0, this.#lastAskAt + ASK_INTERVAL_MS - Date.now()), undefined, {
        signal: this.#stopping.signal,
      });
      this.#lastAskAt = Date.now();
      await this.#pull(this.ports.book.rev, 0);
      return true;
    } catch {
      return false;
    }
  }

  async #follow(): Promise<void> {
    const { logger, book } = this.ports;
    let waitMs = 0;
    let failures = 0;
    let fullAt = Date.now() + FULL_SYNC_MS;
    while (!this.#stopping.signal.aborted) {
      try {
        const isFullDue = Date.now() >= fullAt;
        if (isFullDue) fullAt = Date.now() + FULL_SYNC_MS;
        await this.#pull(isFullDue ? 0 : book.rev, waitMs);
        waitMs = LONG_POLL_MS;
        failures = 0;
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        if (failures === 0) logger.error('guard.platform_away', error);
        waitMs = 0;
        await delay(retryDelayMs(failures++), undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      }
    }
  }

  async #pull(sinceRev: number, waitMs: number): Promise<void> {
    const { book, file, backend, onChanges } = this.ports;
    const sync = await backend.changesSince(sinceRev, { waitMs, signal: this.#stopping.signal });
    this.#syncedAt = new Date();
    const changes = book.apply(sync, sinceRev);
    if (!changes.anything) return;
    onChanges(changes, sync.full);
    file.save(() => book.snapshot());
  }
}

/** Doubles from 100 ms to 5 s, with jitter so that the guards of a fleet do not come back together. */
function retryDelayMs(failures: number): number {
  return Math.min(RETRY_MS.most, RETRY_MS.first * 2 ** failures) * (0.5 + Math.random() / 2);
}
