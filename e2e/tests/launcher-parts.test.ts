import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { takeHold } from '../../tools/launch/hold.mjs';
import { processStartTime } from '../../tools/launch/process-table.mjs';
import { createProgress } from '../../tools/launch/progress.mjs';
import { Supervisor } from '../../tools/launch/supervisor.mjs';
import { takeThrowAwayFolder } from '../../tools/launch/throw-away.mjs';
import { waitFor } from '../../tools/launch/wait.mjs';

let folder: string;
let supervisor: Supervisor;
const started: ChildProcess[] = [];
beforeEach(() => {
  folder = mkdtempSync('/var/tmp/dcompute-parts-');
  supervisor = new Supervisor({ runDir: join(folder, 'run'), logDir: join(folder, 'logs') });
});
afterEach(async () => {
  for (const name of ['sleeper', 'missing', 'parent']) await supervisor.stop(name);
  for (const child of started.splice(0)) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

const sleeper = { name: 'sleeper', command: 'sleep', args: ['600'], env: process.env as Record<string, string> };
const pidFile = (name: string): string => join(folder, 'run', `${name}.pid.json`);
const pidNoted = (name: string): number => (JSON.parse(readFileSync(pidFile(name), 'utf8')) as { pid: number }).pid;

/** A process of this test's own: what must not be touched. */
function bystander(): ChildProcess & { pid: number } {
  const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
  started.push(child);
  if (child.pid === undefined) throw new Error('sleep did not start');
  return child as ChildProcess & { pid: number };
}

/** The pid of a process that has been, and is no more. */
async function deadPid(): Promise<number> {
  const child = bystander();
  child.kill('SIGKILL');
  await once(child, 'exit');
  return child.pid;
}

describe('the supervisor', () => {
  it('starts a part again that crashed, and ends it on request', async () => {
    await supervisor.start({ ...sleeper, ready: () => true });
    const first = pidNoted('sleeper');
    process.kill(first, 'SIGKILL');
    await waitFor('another one', () => pidNoted('sleeper') !== first, { timeoutMs: 10_000 });
    const second = pidNoted('sleeper');
    await supervisor.stop('sleeper');
    expect(processStartTime(second)).toBeNull();
    expect(existsSync(pidFile('sleeper'))).toBe(false);
  });

  it('says so when a program is missing, and stopping that part harms nobody', async () => {
    const missing = { ...sleeper, name: 'missing', command: '/nonexistent/program', ready: () => false };
    await expect(supervisor.start(missing)).rejects.toThrow(/missing: it ends at once .*ENOENT/);
    await supervisor.stop('missing');
  });

  it('ends what a killed launcher left, also the children of a part that has died itself', async () => {
    const script = 'sleep 600 & echo $! > "$0"; wait';
    const childFile = join(folder, 'child');
    await supervisor.start({
      ...sleeper,
      name: 'parent',
      command: 'sh',
      args: ['-c', script, childFile],
      ready: () => existsSync(childFile) && readFileSync(childFile, 'utf8').endsWith('\n'),
    });
    supervisor.expectEnd('parent');
    process.kill(pidNoted('parent'), 'SIGKILL');
    const child = Number(readFileSync(childFile, 'utf8'));
    expect(processStartTime(child)).not.toBeNull();
    await supervisor.endLeftovers({ stopOrder: [] });
    expect(processStartTime(child)).toBeNull();
  });

  it('leaves a process alone that was given the pid of a part', async () => {
    const { pid } = bystander();
    writeFileSync(pidFile('sleeper'), JSON.stringify({ pid, startTime: 1 }));
    expect(await supervisor.endLeftovers({ stopOrder: [] })).toEqual([]);
    expect(processStartTime(pid)).not.toBeNull();
  });

  it('is not stopped by a pid file that was cut off', async () => {
    writeFileSync(pidFile('sleeper'), '{"pid":');
    expect(await supervisor.endLeftovers({ stopOrder: [] })).toEqual([]);
    expect(existsSync(pidFile('sleeper'))).toBe(false);
  });
});

describe('a hold', () => {
  it('is had by one process at a time, and ends with the process that had it', async () => {
    const file = join(folder, 'hold.json');
    const script = `const { takeHold } = await import(process.argv[1]); console.log(Boolean(await takeHold(process.argv[2]))); setInterval(() => {}, 1000);`;
    const module = join(import.meta.dirname, '../../tools/launch/hold.mjs');
    const other = spawn(process.execPath, ['--input-type=module', '-e', script, module, file]);
    started.push(other);
    const [said] = (await once(other.stdout, 'data')) as [Buffer];
    expect(String(said)).toBe('true\n');
    expect(await takeHold(file)).toBeUndefined();
    other.kill('SIGKILL');
    await once(other, 'exit');
    const release = await takeHold(file);
    expect(release).toBeDefined();
    release?.();
  });
});

describe('the folder of a throw-away market', () => {
  it('whose command was killed is removed by the next command, with the processes that were left', async () => {
    const abandoned = mkdtempSync('/var/tmp/dcompute-e2e-');
    mkdirSync(join(abandoned, 'run'));
    const left = bystander();
    const record = { pid: left.pid, startTime: processStartTime(left.pid) };
    writeFileSync(join(abandoned, 'run', 'frps.pid.json'), JSON.stringify(record));
    writeFileSync(join(abandoned, 'run', 'launcher.json'), JSON.stringify({ pid: await deadPid(), startTime: 1 }));
    const next = await takeThrowAwayFolder('e2e', createProgress({ quiet: true }));
    try {
      expect(existsSync(abandoned)).toBe(false);
      expect(processStartTime(left.pid)).toBeNull();
    } finally {
      next.remove();
    }
    expect(existsSync(next.dataDir)).toBe(false);
  });
});
