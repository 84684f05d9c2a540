import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';

/**
 * Writes a file so that it is there whole or as it was before, whatever dies meanwhile.
 * @param {string} file
 * @param {string} text
 * @param {number} [mode] for its owner only where left out
 */
export function writeWhole(file, text, mode = 0o600) {
  const fd = openSync(`${file}.new`, 'w', mode);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${file}.new`, file);
}

/** What a JSON file holds; undefined where there is none, or one that an older launcher left half written. @param {string} file */
export function readJsonFile(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT' || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
