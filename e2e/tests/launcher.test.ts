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
    expect(launcher.market('offers')).toMatch(/\$\/hour/);
    launcher.market('credit', '5');
    expect(launcher.market('rent')).toMatch(/ssh -p \d+ root@127\.0\.0\.1/);
    expect(launcher.market('ssh', '--', 'echo', 'it', 'works')).toBe('it works\n');
    // What the next test looks for is there now: it can be found.
    expect((await tracesOf(nodeId)).rules).not.toEqual([]);
    process.stderr.write(`first start on built parts: ${firstMs} ms\n`);
  });

  it('leaves no process, running container, network or firewall rule after Ctrl-C', async () => {
    await launcher.end('SIGINT');
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
    launcher.market('delete');
    await launcher.end('SIGINT');
    expect(launcher.processes()).toEqual([]);
    expect(await tracesOf(nodeId)).toEqual(NO_TRACES);
  });
});
