import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from './failure.mjs';
import { isAlive, processStartTime } from './process-table.mjs';

/**
 * Takes a data folder for this launcher: two markets on one folder would fight over it.
 * @param {string} dataDir
 * @returns {() => void} gives it back
 */
export function holdDataDir(dataDir) {
  const file = join(dataDir, 'run', 'launcher.json');
  if (existsSync(file)) {
    const other = JSON.parse(readFileSync(file, 'utf8'));
    if (isAlive(other)) {
      throw new Failure(
        `A market runs already on ${dataDir} (process ${other.pid}).`,
        'Stop it with Ctrl-C, or start a second one elsewhere: DCOMPUTE_DATA_DIR=<folder> PORT=<port> npm start',
      );
    }
  }
  writeFileSync(file, JSON.stringify({ pid: process.pid, startTime: processStartTime(process.pid) }));
  return () => rmSync(file, { force: true });
}
