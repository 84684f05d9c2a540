import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { BootError } from './boot-error.js';

/** Any constant that nothing else locks: "dcbe". */
const LOCK_ID = 0x64636265;
const RETRY_MS = 500;
/** The server gives up a session whose other end is gone after 25 s, and with it the lock. */
const KEEPALIVE = '-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3';

export interface Admission {
  /** Lets the next backend in. */
  release(): Promise<void>;
}

/**
 * Without Redis two backends would each miss what the other one says, so an advisory lock admits one only. It is held on a
 * connection of its own until `release`. When that connection breaks, the lock is taken again as soon as the database
 * answers; `onLost` is called when another backend was faster. Throws a BootError when another backend has the lock.
 */
export async function admitOneBackend(databaseUrl: string, onLost: () => void): Promise<Admission> {
  const holder = new LockHolder(databaseUrl, onLost);
  if (await holder.take()) return holder;
  throw new BootError(
    'Another backend already works on this database. Without REDIS_URL only one may run: stop the other one.',
  );
}

class LockHolder implements Admission {
  #client: pg.Client | null = null;
  readonly #released = new AbortController();

  constructor(
    private readonly databaseUrl: string,
    private readonly onLost: () => void,
  ) {}

  /** Whether the lock is ours now. Throws when the database cannot be reached. */
  async take(): Promise<boolean> {
    const client = new pg.Client({ connectionString: this.databaseUrl, options: KEEPALIVE, keepAlive: true });
    // An error of a connection that is being given up changes nothing.
    client.on('error', () => client === this.#client && void this.#retake());
    await client.connect();
    const { rows } = await client.query<{ admitted: boolean }>('SELECT pg_try_advisory_lock($1) AS admitted', [
      LOCK_ID,
    ]);
    if (rows[0]?.admitted !== true || this.#released.signal.aborted) {
      await client.end();
      return false;
    }
    this.#client = client;
    return true;
  }

  async release(): Promise<void> {
    this.#released.abort();
    const client = this.#client;
    this.#client = null;
    await client?.end();
  }

  /** While the database is away nobody can have the lock: so there is no hurry, and no limit to the attempts. */
  async #retake(): Promise<void> {
    this.#client = null;
    for (;;) {
      await delay(RETRY_MS, undefined, { signal: this.#released.signal }).catch(() => {});
      if (this.#released.signal.aborted) return;
      const taken = await this.take().catch(() => null);
      if (taken === null) continue;
      if (!taken && !this.#released.signal.aborted) this.onLost();
      return;
    }
  }
}
