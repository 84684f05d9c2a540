import { writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { Failure } from '../tools/launch/failure.mjs';
import { describeResult } from './pairs.mjs';

/** Every benchmark by name, loaded only when it is asked for. */
const benchmarks = {
  'rent-to-ssh': async (options) => (await import('./rent-to-ssh.mjs')).benchRentToSsh(options),
};

/**
 * `npm run bench -- NAME [--json FILE] [--pairs N]`: baseline and ours alternately in one run. Exits 1 when a goal is missed.
 * @param {{root: string, argv: string[]}} options
 */
export async function runBench({ root, argv }) {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: { json: { type: 'string' }, pairs: { type: 'string', default: '15' } },
  });
  const [name = ''] = positionals;
  const benchmark = benchmarks[name];
  if (!benchmark)
    throw new Failure(`usage: npm run bench -- ${Object.keys(benchmarks).join(' | ')} [--json FILE] [--pairs N]`);
  const pairs = Number(values.pairs);
  if (!Number.isInteger(pairs) || pairs < 11) throw new Failure('--pairs must be a whole number of at least 11.');
  const results = await benchmark({ root, pairs });
  for (const result of results) process.stdout.write(`${describeResult(result)}\n`);
  if (values.json) writeFileSync(values.json, `${JSON.stringify({ machine: machine(), results }, null, 2)}\n`);
  if (results.some(({ ok }) => !ok)) process.exitCode = 1;
}

function machine() {
  const [first] = cpus();
  return {
    cpu: first?.model ?? 'unknown',
    cores: cpus().length,
    ramMib: Math.round(totalmem() / 1024 ** 2),
    platform: process.platform,
    node: process.version,
  };
}
