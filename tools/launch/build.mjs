import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { takeHold } from './hold.mjs';
import { runLogged } from './run.mjs';
import { cacheDir, ensure, ensureToolchain, keyOf } from './toolchain.mjs';
import { waitFor } from './wait.mjs';

const BUILD_LIMIT_MS = 30 * 60_000;
const FRP_FLAGS = ['build', '-trimpath', '-ldflags=-s -w'];
/** Never part of what a build is made of. */
const NOT_SOURCES = new Set([
  'node_modules',
  'dist',
  '.venv',
  '.turbo',
  '__pycache__',
  'generated',
  '.pytest_cache',
  '.ruff_cache',
  '.hypothesis',
]);

/**
 * Fetches the toolchain, installs packages and builds every part. What did not change since the last time is not done again.
 * @param {{root: string, progress: ReturnType<typeof import('./progress.mjs').createProgress>, logDir: string}} options
 * @returns {Promise<{node: string, pnpm: string, uv: string, go: string, env: Record<string, string>, frps: string, frpc: string, guest: string, agent: string}>}
 */
export async function buildParts({ root, progress, logDir }) {
  mkdirSync(logDir, { recursive: true });
  const release = await holdCheckout(root, progress);
  try {
    return await buildHeldParts({ root, progress, logDir });
  } finally {
    release();
  }
}

/** Two commands that build in one checkout at once would tread on each other: the later one waits. */
async function holdCheckout(root, progress) {
  const file = join(cacheDir(), `building-${keyOf([root])}.json`);
  let noted = false;
  const take = async () => {
    const release = await takeHold(file);
    if (!release && !noted) progress.note('another command builds in this checkout; waiting for it');
    noted = true;
    return release;
  };
  return await waitFor('the other build to end', take, { timeoutMs: BUILD_LIMIT_MS, intervalMs: 200 });
}

async function buildHeldParts({ root, progress, logDir }) {
  const log = join(logDir, 'build.log');
  const tools = await progress.step('tools (Node, pnpm, uv, Go)', () => ensureToolchain({ root, log }));
  await progress.step('packages', () => installPackages({ root, tools, log }));
  const [binaries, agent] = await progress.step('building backend, agent, guest, frp', () =>
    allEnded([
      buildGo({ root, tools, log: join(logDir, 'build-go.log') }),
      buildAgent({ root, tools, log: join(logDir, 'build-agent.log') }),
      buildBackend({ root, tools, log }),
    ]),
  );
  return { ...tools, ...binaries, agent };
}

/** All results, or the first failure, but not before every one has ended: none may go on behind our back. */
async function allEnded(works) {
  const results = await Promise.allSettled(works);
  const failed = results.find(({ status }) => status === 'rejected');
  if (failed) throw failed.reason;
  return results.map(({ value }) => value);
}

async function installPackages({ root, tools, log }) {
  const manifests = sourceFiles(root, ['apps', 'packages', 'e2e'], (name) => name === 'package.json');
  const inputs = ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml', ...manifests];
  await onceFor(join(root, 'node_modules/.dcompute-installed'), keyOfFiles(root, inputs), () =>
    runLogged(tools.pnpm, ['install', '--frozen-lockfile', '--reporter=append-only'], {
      cwd: root,
      env: tools.env,
      log,
    }),
  );
}

async function buildBackend({ root, tools, log }) {
  const folders = [
    'packages/shared-types/src',
    'apps/backend/src',
    'apps/backend/prisma',
    'apps/backend/scripts',
    'packages/config',
  ];
  const inputs = ['pnpm-lock.yaml', 'apps/backend/package.json', ...sourceFiles(root, folders)];
  await onceFor(join(root, 'apps/backend/dist/.built'), keyOfFiles(root, inputs), () =>
    runLogged(
      join(root, 'node_modules/.bin/turbo'),
      ['run', 'build', '--filter=@dcompute/backend...', `--cache-dir=${join(cacheDir(), 'turbo')}`],
      {
        cwd: root,
        env: tools.env,
        log,
      },
    ),
  );
}

async function buildAgent({ root, tools, log }) {
  const folder = join(root, 'apps/agent');
  // The project itself is installed as a link to its sources: only its dependencies are an input.
  await onceFor(join(folder, '.venv/.dcompute-synced'), keyOfFiles(folder, ['pyproject.toml', 'uv.lock']), () =>
    runLogged(tools.uv, ['sync', '--frozen', '--quiet'], { cwd: folder, env: tools.env, log }),
  );
  return join(folder, '.venv/bin/dcompute-agent');
}

/** frps and frpc at the version that tools/go.mod pins, and the guest; each kept in the cache under the hash of its sources. */
async function buildGo({ root, tools, log }) {
  const env = { ...tools.env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly' };
  const version = readFileSync(join(root, 'tools/go.sum'));
  const frp = await ensure(`frp-${keyOf([version, FRP_FLAGS.join(' '), process.arch])}`, async (out) => {
    for (const name of ['frps', 'frpc']) {
      await runLogged(
        tools.go,
        [...FRP_FLAGS, '-tags', `noweb,${name}`, '-o', join(out, name), `github.com/fatedier/frp/cmd/${name}`],
        { cwd: join(root, 'tools'), env, log },
      );
    }
  });
  const source = join(root, 'apps/guest');
  const files = sourceFiles(source, ['.'], (name) => /\.go$|^go\.(mod|sum)$/.test(name) && !name.endsWith('_test.go'));
  const guest = await ensure(`guest-${keyOfFiles(source, files)}-${process.arch}`, (out) =>
    runLogged(tools.go, [...FRP_FLAGS, '-o', join(out, 'guest'), '.'], { cwd: source, env, log }),
  );
  return { frps: join(frp, 'frps'), frpc: join(frp, 'frpc'), guest: join(guest, 'guest') };
}

/** Runs `work` unless the stamp says that it was done for the same inputs. */
async function onceFor(stamp, key, work) {
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === key) return;
  await work();
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, key);
}

function keyOfFiles(root, files) {
  return keyOf(files.toSorted().flatMap((file) => [file, readFileSync(join(root, file))]));
}

/** Every file under `folders` of `root` that a build is made of, relative to `root`. */
function sourceFiles(root, folders, accept = () => true) {
  const found = [];
  const walk = (folder) => {
    for (const name of readdirSync(folder)) {
      if (NOT_SOURCES.has(name)) continue;
      const path = join(folder, name);
      if (statSync(path).isDirectory()) walk(path);
      else if (accept(name)) found.push(relative(root, path));
    }
  };
  for (const folder of folders) if (existsSync(join(root, folder))) walk(join(root, folder));
  return found;
}
