import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Row } from '../faults/case.js';
import { chooseCases } from '../faults/cases/index.js';

const run = promisify(execFile);
const LIMIT_MS = 420_000;
const root = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'dcompute-faults-'));
let rows: Row[] = [];
let output = '';

/** One market of its own serves all: its engine and its database are among what is killed. */
beforeAll(async () => {
  const file = join(folder, 'rows.json');
  const args = [join(root, 'tools/launch/main.mjs'), 'faults', '--gate', '--json', file];
  const { stderr } = await run(process.execPath, args, { timeout: LIMIT_MS, maxBuffer: 16 * 1024 * 1024 }).catch(
    (error: Error & { stderr: string }) => error,
  );
  output = stderr;
  rows = JSON.parse(readFileSync(file, 'utf8')) as Row[];
}, LIMIT_MS);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a rental with an open SSH session comes through', () => {
  it.each(chooseCases([], true).map(({ name }) => name))('%s', (name) => {
    const row = rows.find((candidate) => candidate.name === name);
    expect(row, output).toBeDefined();
    expect(row?.failures).toEqual([]);
  });
});
