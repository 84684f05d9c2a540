#!/usr/bin/env node
/**
 * Builds the image that rentals use by default: Debian with what people expect behind an SSH log-in.
 * As a command: `node tools/image/build.mjs [--tag NAME] [--docker URL]`.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { aptInstall, hasCommand, isDebianLike } from '../launch/engine.mjs';
import { Failure } from '../launch/failure.mjs';
import { runLogged } from '../launch/run.mjs';
import { cacheDir, ensure, keyOf } from '../launch/toolchain.mjs';

const SUITE = 'bookworm';
const MIRROR = process.env.DEBIAN_MIRROR ?? 'http://deb.debian.org/debian';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const PACKAGES = [
  'ca-certificates',
  'curl',
  'iproute2',
  'less',
  'nano',
  'openssh-client',
  'procps',
  'python3',
  'rsync',
  'tmux',
];
/** Raise it when the way in which the root file system is made changes. */
const RECIPE = 1;
const ENVIRONMENT = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'LANG=C.UTF-8'];
const BUILD_LIMIT_MS = 15 * 60_000;

/**
 * Puts the default image into an engine. As root on Debian or Ubuntu it is made by debootstrap, without a registry, and
 * its root file system is kept in the cache; elsewhere the engine builds it from `debian:12`.
 * @param {{docker?: string, tag: string}} options `docker` is the engine's URL; the client's own default where left out
 */
export async function buildDefaultImage({ docker, tag }) {
  if (!hasCommand('docker'))
    throw new Failure('The Docker client is missing.', 'Install Docker: https://docs.docker.com/engine/install/');
  const client = docker ? ['-H', docker] : [];
  if (process.getuid?.() === 0 && isDebianLike()) {
    importRootfs(client, tag, await ensureRootfs());
  } else {
    buildFromRegistry(client, tag);
  }
}

/** Fetches what the default image is made of, as far as that can be done without an engine. */
export async function prepareDefaultImage() {
  if (process.getuid?.() === 0 && isDebianLike()) await ensureRootfs();
}

/** @returns {Promise<string>} the path of a tar of the image's root file system */
async function ensureRootfs() {
  if (!hasCommand('debootstrap') || !hasCommand('gpgv') || !existsSync(KEYRING))
    aptInstall(['debootstrap', 'debian-archive-keyring', 'gpgv']);
  mkdirSync(cacheDir(), { recursive: true });
  const log = join(cacheDir(), 'image.log');
  rmSync(log, { force: true });
  const key = keyOf([SUITE, MIRROR, PACKAGES.join(), String(RECIPE), process.arch]);
  const folder = await ensure(`image-${key}`, (out) => makeRootfs(out, log));
  return join(folder, 'rootfs.tar');
}

async function makeRootfs(out, log) {
  const rootfs = join(out, 'rootfs');
  // By default debootstrap goes on with a warning where it has no key to check the archive's signature with.
  const options = ['--variant=minbase', '--force-check-gpg', `--keyring=${KEYRING}`, `--include=${PACKAGES.join()}`];
  await runLogged('debootstrap', [...options, SUITE, rootfs, MIRROR], { log });
  writeFileSync(join(rootfs, 'etc/apt/sources.list'), sourcesList());
  // What debootstrap took from this machine, and what apt can fetch again.
  for (const path of [
    'etc/hostname',
    'etc/resolv.conf',
    'var/log/bootstrap.log',
    'var/lib/apt/lists',
    'var/cache/apt/archives',
  ]) {
    rmSync(join(rootfs, path), { recursive: true, force: true });
  }
  mkdirSync(join(rootfs, 'var/lib/apt/lists/partial'), { recursive: true });
  mkdirSync(join(rootfs, 'var/cache/apt/archives/partial'), { recursive: true });
  const tar = [
    '--numeric-owner',
    '--sort=name',
    '--exclude=./dev/*',
    '-C',
    rootfs,
    '-cf',
    join(out, 'rootfs.tar'),
    '.',
  ];
  await runLogged('tar', tar, { log });
  rmSync(rootfs, { recursive: true, force: true });
}

function sourcesList() {
  return [
    `deb http://deb.debian.org/debian ${SUITE} main`,
    `deb http://deb.debian.org/debian ${SUITE}-updates main`,
    `deb http://deb.debian.org/debian-security ${SUITE}-security main`,
    '',
  ].join('\n');
}

function importRootfs(client, tag, rootfs) {
  const changes = [...ENVIRONMENT.map((entry) => `ENV ${entry}`), 'WORKDIR /root', 'CMD ["/bin/bash"]'];
  runDocker([...client, 'import', ...changes.flatMap((change) => ['--change', change]), rootfs, tag]);
}

function buildFromRegistry(client, tag) {
  const dockerfile = [
    'FROM debian:12',
    `RUN apt-get update && apt-get install -y --no-install-recommends ${PACKAGES.join(' ')} && rm -rf /var/lib/apt/lists/*`,
    ...ENVIRONMENT.map((entry) => `ENV ${entry}`),
    'WORKDIR /root',
    'CMD ["/bin/bash"]',
    '',
  ].join('\n');
  runDocker([...client, 'build', '--tag', tag, '-'], dockerfile);
}

function runDocker(args, input = '') {
  const { status, stderr, error } = spawnSync('docker', args, { input, encoding: 'utf8', timeout: BUILD_LIMIT_MS });
  if (status === 0) return;
  const reason = error?.message ?? stderr.trim().split('\n').at(-1);
  throw new Failure(
    `The default image could not be put into the Docker engine: ${reason}`,
    'Check that the engine runs (docker version), has room on its disk, and can reach its registry.',
  );
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: { tag: { type: 'string', default: 'dcompute/default:1' }, docker: { type: 'string' } },
  });
  try {
    await buildDefaultImage({ tag: values.tag, docker: values.docker ?? process.env.DOCKER_HOST });
    process.stdout.write(`${values.tag}\n`);
  } catch (error) {
    process.stderr.write(`${error instanceof Failure ? error.message : error.stack}\n`);
    process.exitCode = 1;
  }
}
