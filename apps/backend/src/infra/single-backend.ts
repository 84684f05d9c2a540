import pg from 'pg';
import { BootError } from './boot-error.js';

/** Any constant that nothing else locks: "dcbe". */
const LOCK_ID = 0x64636265;

/**
 * Without Redis two backends would each miss what the other one says, so an advisory lock admits one only. Held on a
 * connection of its own until `release`.
 */
export async function admitOneBackend(databaseUrl: string): Promise<{ release: () => Promise<void> }> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  const { rows } = await client.query<{ admitted: boolean }>('SELECT pg_try_advisory_lock($1) AS admitted', [LOCK_ID]);
  if (rows[0]?.admitted !== true) {
    await client.end();
    throw new BootError(
      'Another backend already works on this database. Without REDIS_URL only one may run: stop the other one.',
    );
  }
  // A lost connection loses the lock: better to end than to run beside another backend unknowingly.
  client.on('error', () => process.kill(process.pid, 'SIGTERM'));
  return { release: () => client.end() };
}
