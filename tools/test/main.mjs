#!/usr/bin/env node
/**
 * `npm test`: the gate. Sets everything up, runs every check to its end, and closes with `N passed, N failed`.
 * `npm test -- NAME ...` runs only the checks whose names begin with one of the words.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildParts } from '../launch/build.mjs';
import { layOutDataDir } from '../launch/data-dir.mjs';
import { dockerEngine } from '../launch/engine.mjs';
import { createProgress } from '../launch/progress.mjs';
import { Supervisor, tail } from '../launch/supervisor.mjs';
import { checksOf } from './checks.mjs';
import { ensureSystemPackages } from './system-packages.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const wanted = process.argv.slice(2);
// /var/tmp, not /tmp: images and containers do not belong into memory.
const dataDir = mkdtempSync('/var/tmp/dcompute-test-');
const logDir = join(dataDir, 'logs');
const progress = createProgress();
const total = { passed: 0, failed: 0 };
let supervisor;
let engine;

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void cleanUp().finally(() => process.exit(130)));

try {
  layOutDataDir(dataDir);
  await progress.step('system packages', async () => ensureSystemPackages());
  const built = await buildParts({ root, progress, logDir });
  await startEngine();
  for (const check of checksOf({ root, built, dockerHost: engine.dockerHost, logDir })) {
    if (wanted.length === 0 || wanted.some((word) => check.name.startsWith(word))) await runCheck(check);
  }
} catch (error) {
  total.failed += 1;
  process.stderr.write(`\n${error.message}\n`);
} finally {
  await cleanUp();
}
process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;

async function startEngine() {
  supervisor = new Supervisor({ runDir: join(dataDir, 'run'), logDir });
  engine = await dockerEngine({ dataDir, progress });
  const { part } = engine;
  if (part) await progress.step('starting a Docker engine of our own', () => supervisor.start(part));
}

async function runCheck(check) {
  const begin = Date.now();
  const result = await check.run().catch((error) => ({ passed: 0, failed: 1, detail: error.message }));
  total.passed += result.passed;
  total.failed += result.failed;
  const seconds = ((Date.now() - begin) / 1000).toFixed(1);
  process.stderr.write(
    `  ${result.failed > 0 ? 'FAILED' : 'ok    '} ${check.name.padEnd(28)} ${String(result.passed).padStart(4)} passed ${String(result.failed).padStart(3)} failed ${seconds.padStart(7)} s\n`,
  );
  if (result.failed > 0) process.stderr.write(`${(result.detail || tail(check.log, 120)).replace(/^/gm, '    ')}\n`);
}

async function cleanUp() {
  if (engine?.part) await supervisor.stop('dockerd');
  engine?.cleanUp();
  engine = undefined;
  rmSync(dataDir, { recursive: true, force: true });
}
