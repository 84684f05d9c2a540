import { createHash } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readlinkSync,
  realpathSync,
  statSync,
  statfsSync,
  symlinkSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { Failure } from './failure.mjs';

const NEEDED_BYTES = 3 * 1024 ** 3;

/**
 * The folder that holds everything a market keeps. Where PostgreSQL's own user cannot enter the checkout (root's home),
 * `.data` becomes a link to a folder that it can.
 * @param {string} root of the checkout
 * @returns {string} the real folder
 */
export function prepareDataDir(root) {
  const path = dataDirOf(root);
  if (isLink(path)) {
    // The folder that it leads to may have been removed by hand.
    mkdirSync(resolve(dirname(path), readlinkSync(path)), { recursive: true, mode: 0o755 });
  } else if (!existsSync(path)) {
    if (process.getuid?.() === 0 && !isOpenToOthers(dirname(path))) {
      const target = join('/var/lib/distributed-compute', createHash('sha256').update(path).digest('hex').slice(0, 12));
      mkdirSync(target, { recursive: true, mode: 0o755 });
      symlinkSync(target, path);
    } else {
      mkdirSync(path, { recursive: true, mode: 0o755 });
    }
  }
  // The real path: PostgreSQL's user cannot go through the link.
  const real = realpathSync(path);
  layOutDataDir(real);
  return real;
}

/** Where a checkout's market keeps its data, whether it is there yet or not. @param {string} root of the checkout */
export const dataDirOf = (root) => resolve(root, process.env.DCOMPUTE_DATA_DIR || '.data');

/** Makes the folders of a market and checks that there is room. @param {string} path */
export function layOutDataDir(path) {
  try {
    accessSync(path, constants.W_OK);
  } catch {
    throw new Failure(`${path} cannot be written.`, 'Name another folder: DCOMPUTE_DATA_DIR=<folder> npm start');
  }
  chmodSync(path, 0o755);
  for (const name of ['logs', 'run', 'secrets', 'frps', 'guard', 'agent'])
    mkdirSync(join(path, name), { recursive: true, mode: 0o700 });
  const { bavail, bsize } = statfsSync(path);
  if (bavail * bsize < NEEDED_BYTES) {
    throw new Failure(
      `Only ${Math.floor((bavail * bsize) / 1024 ** 2)} MiB are free where ${path} lies; 3 GiB are needed.`,
      'Free some space, or name another folder: DCOMPUTE_DATA_DIR=<folder> npm start',
    );
  }
}

function isLink(path) {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}

/** True when a folder and every folder above it can be entered by any user. @param {string} path */
export function isOpenToOthers(path) {
  for (let folder = path; ; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}
