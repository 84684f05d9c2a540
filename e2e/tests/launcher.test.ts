import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../../tools/launch/wait.mjs';
import { Launcher, runningOf, tracesOf } from '../harness/launcher.js';

const NO_TRACES = { rules: [], links: [], networks: '' };
let launcher: Launcher;
let nodeId: string;
beforeAll(async () => {
  launcher = await Launcher.prepare();
});
afterAll(() => launcher?.destroy());

describe('npm start', () => {
  it('becomes ready unattended, prints URLs and the next command, and the printed commands work', async () => {
    const firstMs = await launcher.start();
    expect(launcher.output).toContain(launcher.url);
    expect(launcher.output).toContain('npm run market -- offers');
    nodeId = await launcher.nodeId();
    launcher.market('credit', '5');
    // The last and largest offer is the whole machine: a start must not wait for another one.
    const largest = launcher.market('offers').trim().split('\n').at(-1)?.split(' ')[0] ?? '';
    expect(launcher.market('rent', largest)).toMatch(/ssh -p \d+ root@127\.0\.0\.1/);
    expect(launcher.market('ssh', '--', 'echo', 'it', 'works')).toBe('it works\n');
    // What the next test looks for is there now: it can be found.
    expect((await tracesOf(nodeId)).rules).not.toEqual([]);
    expect(launcher.market('offers')).toContain('(none)');
    process.stderr.write(`first start on built parts: ${firstMs} ms\n`);
  });

  it('leaves no process, running container, network or firewall rule after Ctrl-C, be it pressed twice', async () => {
    expect(await launcher.end('SIGINT', 'SIGINT')).toBe(0);
    expect(launcher.processes()).toEqual([]);
    expect(await tracesOf(nodeId)).toEqual(NO_TRACES);
    expect(await runningOf(nodeId)).toBe('');
  });

  it('takes seconds the second time, and resumes the rental that Ctrl-C had stopped', async () => {
    const secondMs = await launcher.start();
    process.stderr.write(`second start: ${secondMs} ms\n`);
    expect(launcher.market('ssh', '--', 'echo', 'resumed')).toBe('resumed\n');
  });

  it('cleans up or adopts what a launcher that was killed with -9 left', async () => {
    await launcher.end('SIGKILL');
    expect(launcher.processes().length).toBeGreaterThan(0);
    await launcher.start();
    expect(launcher.output).toContain('an earlier launcher was killed');
    // frpc finds the new frps by itself, with a back-off of up to 20 s.
    const said = await waitFor('SSH', () => launcher.market('ssh', '--', 'echo', 'alive'), { timeoutMs: 60_000 });
    expect(said).toBe('alive\n');
  });

  it('leaves nothing when it is interrupted in the middle of a start, though a killed one left a rental running', async () => {
    await launcher.end('SIGKILL');
    expect(await runningOf(nodeId)).not.toBe('');
    await launcher.start('starting the backend');
    expect(await launcher.end('SIGINT')).toBe(130);
    expect(launcher.output).toContain('Ended by SIGINT.');
    expect(launcher.processes()).toEqual([]);
    expect(await tracesOf(nodeId)).toEqual(NO_TRACES);
    expect(await runningOf(nodeId)).toBe('');
  });

  it('starts after it was killed in the middle of a start', async () => {
    await launcher.start('starting PostgreSQL');
    await launcher.end('SIGKILL');
    await launcher.start();
    launcher.market('delete');
    await launcher.end('SIGINT');
    expect(launcher.processes()).toEqual([]);
    expect(await tracesOf(nodeId)).toEqual(NO_TRACES);
  });
});
