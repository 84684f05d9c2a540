import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import { sendRequest } from './api-client.js';
import { testEnvironment } from './backend-app.js';
import { freePort } from './free-port.js';
import { type TestDatabase, createTestDatabase } from './test-database.js';

const MAIN = join(import.meta.dirname, '../dist/main.js');

/** Runs the built backend as a process of its own. */
class BackendProcess {
  output = '';

  private constructor(readonly child: ChildProcess) {
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
  }

  static start(env: Record<string, string>): BackendProcess {
    return new BackendProcess(
      spawn(process.execPath, [MAIN], { env: { ...env, LOG_LEVEL: 'info' }, stdio: ['ignore', 'pipe', 'pipe'] }),
    );
  }

  async exit(): Promise<number | null> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    const [code] = (await once(this.child, 'exit')) as [number | null];
    return code;
  }

  /** Resolves when the output has `text`; rejects when the process ends before. */
  async says(text: string): Promise<void> {
    while (!this.output.includes(text)) {
      if (this.child.exitCode !== null) throw new Error(`ended before it said "${text}":\n${this.output}`);
      await Promise.race([once(this.child.stdout ?? this.child, 'data'), once(this.child, 'exit')]);
    }
  }
}

let running: BackendProcess[] = [];
let databases: TestDatabase[] = [];
beforeAll(() => {
  if (!existsSync(MAIN)) throw new Error('these tests run the built backend: pnpm --filter @dcompute/backend build');
});
afterEach(async () => {
  for (const backend of running) backend.child.kill('SIGKILL');
  await Promise.all(running.map((backend) => backend.exit()));
  await Promise.all(databases.map((database) => database.drop()));
  running = [];
  databases = [];
});

async function environment(): Promise<Record<string, string>> {
  const database = await createTestDatabase();
  databases.push(database);
  return testEnvironment(database.databaseUrl, await freePort());
}

function start(env: Record<string, string>): BackendProcess {
  const backend = BackendProcess.start(env);
  running.push(backend);
  return backend;
}

/** What a backend that cannot start prints, all of it. */
async function refusal(change: Record<string, string>): Promise<string> {
  const backend = start({ ...(await environment()), ...change });
  expect(await backend.exit()).toBe(1);
  expect(backend.output).not.toMatch(/^\s+at /m);
  return backend.output;
}

/** Resolves when a statement waits for the lock that `owner` holds. */
async function untilSomebodyWaits(owner: pg.Client): Promise<void> {
  for (;;) {
    const { rows } = await owner.query('SELECT FROM pg_locks WHERE NOT granted');
    if (rows.length > 0) return;
  }
}

describe('the backend as a process', () => {
  it('ends on SIGTERM once the requests under way are answered', async () => {
    const env = await environment();
    const backend = start(env);
    await backend.says('backend.listening');
    const owner = new pg.Client({ connectionString: databases[0]?.ownerUrl });
    await owner.connect();
    try {
      await owner.query('BEGIN; LOCK TABLE "User" IN SHARE MODE');
      const answer = sendRequest(`http://127.0.0.1:${env['PORT']}`, 'POST', '/api/v1/auth/sign-up', {
        body: { email: 'a@example.com', password: 'a long password' },
      });
      await untilSomebodyWaits(owner);
      backend.child.kill('SIGTERM');
      await backend.says('backend.stopping');
      await owner.query('COMMIT');
      expect((await answer).status).toBe(201);
      expect(await backend.exit()).toBe(0);
      expect(backend.output).toContain('backend.stopped');
    } finally {
      await owner.end();
    }
  });

  it('lets the next one in when it was killed without a word', async () => {
    const env = await environment();
    const first = start(env);
    await first.says('backend.listening');
    first.child.kill('SIGKILL');
    await first.exit();
    await start(env).says('backend.listening');
  });

  it('refuses to run beside another one', async () => {
    const env = await environment();
    await start(env).says('backend.listening');
    const second = start({ ...env, PORT: String(await freePort()) });
    expect(await second.exit()).toBe(1);
    expect(second.output).toMatch(/Another backend already works on this database/);
  });

  it('says what is wrong with its configuration', async () => {
    expect(await refusal({ PORT: '70000', SECRETS_KEYS: '' })).toMatch(/PORT: [\s\S]*SECRETS_KEYS: is not set/);
  });

  it('says that the database cannot be reached, without its password', async () => {
    const output = await refusal({ DATABASE_URL: `postgresql://me:hush@127.0.0.1:${await freePort()}/none` });
    expect(output).toMatch(/DATABASE_URL: no connection to postgresql:\/\/me@127\.0\.0\.1.*ECONNREFUSED/);
    expect(output).not.toContain('hush');
  });

  it('says which migrations are missing and how to apply them', async () => {
    const { port, password } = inject('cluster');
    const admin = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', password, database: 'postgres' });
    const name = `test_empty_${process.pid}`;
    await admin.connect();
    try {
      await admin.query(`CREATE DATABASE ${name}`);
      const output = await refusal({
        DATABASE_URL: `postgresql://dcompute_backend:${password}@127.0.0.1:${port}/${name}`,
      });
      expect(output).toMatch(/lacks migrations \(0001_base/);
      expect(output).toContain('dist/commands/migrate.js');
    } finally {
      await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      await admin.end();
    }
  });

  it('says that its port is taken', async () => {
    const env = await environment();
    await start(env).says('backend.listening');
    const output = await refusal({ PORT: env['PORT'] ?? '' });
    expect(output).toMatch(/PORT: .*is taken/);
  });
});
