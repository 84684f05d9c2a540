import { createHash } from 'node:crypto';
import { mkdirSync, realpathSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { Failure } from './failure.mjs';
import { isAlive, processStartTime } from './process-table.mjs';
import { readJsonFile, writeWhole } from './whole-file.mjs';

/** Names the launcher of a data folder. @param {string} dataDir */
const launcherFile = (dataDir) => join(dataDir, 'run', 'launcher.json');

/**
 * Takes a data folder for this launcher: two markets on one folder would fight over it.
 * @param {string} dataDir
 * @returns {Promise<() => void>} gives it back
 */
export async function holdDataDir(dataDir) {
  const release = await takeHold(launcherFile(dataDir));
  if (release) return release;
  throw new Failure(
    `A market runs already on ${dataDir} (process ${holderOf(dataDir)?.pid ?? 'unknown'}).`,
    'Stop it with Ctrl-C, or start a second one elsewhere: DCOMPUTE_DATA_DIR=<folder> PORT=<port> FRPS_PORT=<port> RENTAL_PORTS=<first>-<last> npm start',
  );
}

/** The live launcher of a data folder, if any. @param {string} dataDir */
export function holderOf(dataDir) {
  const holder = readJsonFile(launcherFile(dataDir));
  return holder && isAlive(holder) ? holder : undefined;
}

/** Whether a launcher took this data folder and died. @param {string} dataDir */
export function isAbandoned(dataDir) {
  return readJsonFile(launcherFile(dataDir)) !== undefined && holderOf(dataDir) === undefined;
}

/**
 * Takes `file` for this process. The hold is a socket in the kernel's abstract name space: of two processes that come
 * at once one gets it, and it ends with its process however that dies. The file says who holds.
 * @param {string} file
 * @returns {Promise<(() => void) | undefined>} gives it back; undefined where another process has it
 */
export async function takeHold(file) {
  mkdirSync(dirname(file), { recursive: true });
  const path = join(realpathSync(dirname(file)), basename(file));
  const name = `\0dcompute-${createHash('sha256').update(path).digest('hex').slice(0, 32)}`;
  const server = createServer((socket) => socket.destroy());
  const taken = await new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(name, () => resolve(true));
  });
  if (!taken) return undefined;
  server.unref();
  writeWhole(path, JSON.stringify({ pid: process.pid, startTime: processStartTime(process.pid) }));
  return () => {
    rmSync(path, { force: true });
    server.close();
  };
}
