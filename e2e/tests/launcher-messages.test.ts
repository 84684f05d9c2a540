import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, it, vi } from 'vitest';
import { dockerEngine } from '../../tools/launch/engine.mjs';
import { holdDataDir } from '../../tools/launch/hold.mjs';
import { freePort } from '../../tools/launch/ports.mjs';
import { createProgress } from '../../tools/launch/progress.mjs';

const main = join(import.meta.dirname, '../../tools/launch/main.mjs');
let folder: string;
let port: string;
beforeEach(async () => {
  port = String(await freePort());
  folder = mkdtempSync('/var/tmp/dcompute-messages-');
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs `npm start` to its end; it must fail. Returns what it said. */
function failingStart(env: Record<string, string>): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'start'], {
    env: {
      ...process.env,
      DOCKER_HOST: inject('market').dockerHost,
      DCOMPUTE_DATA_DIR: join(folder, 'data'),
      PORT: port,
      ...env,
    },
    encoding: 'utf8',
    timeout: 120_000,
  });
  expect(status).toBe(1);
  expect(stderr).not.toMatch(/\n\s+at .*:\d+:\d+/);
  return stdout + stderr;
}

describe('npm start says in one message what is missing and what to do', () => {
  it('a port that is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port: taken } = other.address() as AddressInfo;
    try {
      const said = failingStart({ PORT: String(taken) });
      expect(said).toContain(`Port ${taken} (the API) is taken by another program`);
      expect(said).toContain('PORT=<port> npm start');
    } finally {
      other.close();
    }
  });

  it('a port that is none', () => {
    expect(failingStart({ PORT: 'abc' })).toContain('PORT=abc is no port.');
    expect(failingStart({ FRPS_PORT: '70000' })).toContain('FRPS_PORT=70000 is no port.');
  });

  it('a folder that another market has', async () => {
    mkdirSync(join(folder, 'data'));
    const release = await holdDataDir(join(folder, 'data'));
    try {
      const said = failingStart({});
      expect(said).toContain(`A market runs already on ${join(folder, 'data')} (process ${process.pid}).`);
    } finally {
      release();
    }
  });

  it('an engine that does not answer', () => {
    const said = failingStart({ DOCKER_HOST: 'unix:///nonexistent/docker.sock' });
    expect(said).toContain('No Docker engine answers at DOCKER_HOST=unix:///nonexistent/docker.sock.');
  });

  it('no engine, and a user who may not start one', async () => {
    vi.spyOn(process, 'getuid').mockReturnValue(1000);
    vi.stubEnv('DOCKER_HOST', undefined);
    const nowhere = {
      dataDir: folder,
      progress: createProgress({ quiet: true }),
      systemSocket: 'unix:///nonexistent/docker.sock',
    };
    await expect(dockerEngine(nowhere)).rejects.toThrow(
      'No Docker engine is running, and this user may not start one.',
    );
  });

  it('a disk without room', () => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', folder]);
    try {
      expect(failingStart({})).toContain('3 GiB are needed.');
    } finally {
      execFileSync('umount', [folder]);
    }
  });

  it('no network on a first start', () => {
    const said = failingStart({
      XDG_CACHE_HOME: join(folder, 'cache'),
      npm_config_registry: 'http://127.0.0.1:1/',
      npm_config_fetch_retries: '0',
    });
    expect(said).toContain('The package registry could not be reached.');
  });
});
