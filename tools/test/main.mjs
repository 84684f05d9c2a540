#!/usr/bin/env node
/**
 * `npm test`: the gate. Sets everything up, runs every check to its end, and closes with `N passed, N failed`.
 * `npm test -- NAME ...` runs only the checks whose names begin with one of the words.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildParts } from '../launch/build.mjs';
import { dockerEngine } from '../launch/engine.mjs';
import { Failure } from '../launch/failure.mjs';
import { catchSignals, interruption } from '../launch/interruption.mjs';
import { createProgress } from '../launch/progress.mjs';
import { Supervisor, tail } from '../launch/supervisor.mjs';
import { inThrowAwayFolder } from '../launch/throw-away.mjs';
import { checksOf } from './checks.mjs';
import { ensureSystemPackages } from './system-packages.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const wanted = process.argv.slice(2);
const progress = createProgress();
const total = { passed: 0, failed: 0 };

catchSignals();
try {
  await inThrowAwayFolder('test', progress, runGate);
} catch (error) {
  total.failed += 1;
  process.stderr.write(`\n${error instanceof Failure ? error.message : error.stack}\n`);
}
process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;

async function runGate(dataDir) {
  const logDir = join(dataDir, 'logs');
  await progress.step('system packages', async () => ensureSystemPackages());
  const built = await buildParts({ root, progress, logDir });
  const supervisor = new Supervisor({ runDir: join(dataDir, 'run'), logDir });
  const engine = await dockerEngine({ dataDir, progress });
  try {
    const { part } = engine;
    if (part) await progress.step('starting a Docker engine of our own', () => supervisor.start(part));
    for (const check of chosenChecks({ root, built, dockerHost: engine.dockerHost, logDir })) {
      await runCheck(check);
      interruption.throwIfAborted();
    }
  } finally {
    await supervisor.stop('dockerd');
    engine.cleanUp();
  }
}

function chosenChecks(options) {
  const checks = checksOf(options);
  const chosen = checks.filter(({ name }) => wanted.length === 0 || wanted.some((word) => name.startsWith(word)));
  if (chosen.length > 0) return chosen;
  throw new Failure(
    `No check begins with ${wanted.join(' or ')}.`,
    `There are: ${checks.map(({ name }) => name).join(', ')}`,
  );
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
