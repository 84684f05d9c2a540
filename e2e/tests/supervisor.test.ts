import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Supervisor } from '../../tools/launch/supervisor.mjs';
import { waitFor } from '../../tools/launch/wait.mjs';

const STEADY_MS = 200;
let folder: string;
let supervisor: Supervisor;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dcompute-supervisor-'));
  supervisor = new Supervisor({ runDir: join(folder, 'run'), logDir: join(folder, 'logs'), steadyMs: STEADY_MS });
});
afterEach(async () => {
  await supervisor.stop('part');
  rmSync(folder, { recursive: true, force: true });
});

/** Kills the part and returns how long it took until it ran again. */
async function killAndWait(): Promise<number> {
  const before = supervisor.pidOf('part');
  if (before === undefined) throw new Error('the part does not run');
  const begin = Date.now();
  process.kill(before, 'SIGKILL');
  await waitFor('the part to be started again', () => supervisor.pidOf('part') !== before, { timeoutMs: 20_000 });
  return Date.now() - begin;
}

describe('the launcher starts a part again', () => {
  it('after a pause that grows with each crash in a row', async () => {
    await supervisor.start({ name: 'part', command: 'sleep', args: ['600'], ready: () => true });
    const first = await killAndWait();
    expect(await killAndWait()).toBeGreaterThan(first + 400);
  });

  it('at once when it ran well before, however often it crashed in its life', async () => {
    await supervisor.start({ name: 'part', command: 'sleep', args: ['600'], ready: () => true });
    for (let crash = 0; crash < 4; crash += 1) {
      // As long as a part must live to count as steady: there is nothing else to wait for.
      await delay(STEADY_MS + 50);
      expect(await killAndWait()).toBeLessThan(900);
    }
  });
});
