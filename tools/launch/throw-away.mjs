import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { layOutDataDir } from './data-dir.mjs';
import { holdDataDir, isAbandoned } from './hold.mjs';
import { endAbandonedMarket } from './market-stack.mjs';
import { endRunOf } from './run.mjs';

/** Not /tmp: images and the disks of containers do not belong into memory. */
const PLACE = '/var/tmp';
const NAME = /^dcompute-(demo|bench|test|e2e)-/;

/** @typedef {'demo' | 'bench' | 'test' | 'e2e'} ThrowAwayKind */
/** @typedef {ReturnType<typeof import('./progress.mjs').createProgress>} Progress */

/**
 * Gives `work` a data folder that is gone afterwards.
 * @template T
 * @param {ThrowAwayKind} kind
 * @param {Progress} progress
 * @param {(dataDir: string) => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function inThrowAwayFolder(kind, progress, work) {
  const { dataDir, remove } = await takeThrowAwayFolder(kind, progress);
  try {
    return await work(dataDir);
  } finally {
    remove();
  }
}

/**
 * Makes a data folder to throw away. What an earlier command left in such a folder because it was killed is ended and
 * removed first.
 * @param {ThrowAwayKind} kind
 * @param {Progress} progress
 * @returns {Promise<{dataDir: string, remove: () => void}>}
 */
export async function takeThrowAwayFolder(kind, progress) {
  await removeAbandoned(progress);
  const dataDir = mkdtempSync(join(PLACE, `dcompute-${kind}-`));
  let release = () => {};
  const remove = () => {
    rmSync(dataDir, { recursive: true, force: true, maxRetries: 3 });
    release();
  };
  try {
    layOutDataDir(dataDir);
    release = await holdDataDir(dataDir);
    return { dataDir, remove };
  } catch (error) {
    remove();
    throw error;
  }
}

async function removeAbandoned(progress) {
  for (const name of readdirSync(PLACE).filter((entry) => NAME.test(entry) && isMine(join(PLACE, entry)))) {
    const dataDir = join(PLACE, name);
    if (!isAbandoned(dataDir)) continue;
    // Two commands may find it at once: one of them gets it.
    const release = await holdDataDir(dataDir).catch(() => undefined);
    if (!release) continue;
    await progress
      .step(`removing what a killed command left in ${dataDir}`, () => removeMarket(dataDir))
      .finally(release);
  }
}

/** Another user's folder is not ours to look into. */
function isMine(path) {
  return statSync(path, { throwIfNoEntry: false })?.uid === process.getuid?.();
}

async function removeMarket(dataDir) {
  const logs = join(dataDir, 'logs');
  for (const record of existsSync(logs) ? readdirSync(logs).filter((name) => name.endsWith('.pid.json')) : [])
    await endRunOf(join(logs, record.slice(0, -'.pid.json'.length)));
  await endAbandonedMarket(dataDir);
  rmSync(dataDir, { recursive: true, force: true, maxRetries: 3 });
}
