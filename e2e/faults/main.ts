import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { FaultCase, Row, StartCase } from './case.ts';
import { chooseCases } from './cases/index.ts';
import { type FaultMarket, type Stack, root, startFaultMarket } from './market.ts';
import { runCase } from './run-case.ts';
import { runStartCase } from './run-start-case.ts';
import { lineOf, tableOf } from './table.ts';

/** `npm run faults` inside its namespaces (tools/launch/faults.mjs). */
async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      only: { type: 'string', default: '' },
      gate: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      json: { type: 'string' },
    },
  });
  const words = [...values.only.split(/\s+/), ...positionals].filter(Boolean);
  const cases = chooseCases(words, values.gate);
  if (cases.length === 0) throw new Error(`no case has all of the words: ${words.join(' ')}`);
  const dataDir = process.env['DCOMPUTE_FAULTS_DIR'];
  if (dataDir === undefined) throw new Error('run it by: npm run faults');
  const programs = JSON.parse(readFileSync(join(dataDir, 'run', 'programs.json'), 'utf8')) as Stack['built'];
  const market = await startFaultMarket(dataDir, programs);
  const rows: Row[] = [];
  try {
    for (const fault of cases) {
      const row = await runOne(market, fault);
      rows.push(row);
      process.stderr.write(`${lineOf(row)}\n`);
    }
  } finally {
    await market.stop();
  }
  return report(rows, values);
}

async function runOne(market: FaultMarket, fault: FaultCase | StartCase): Promise<Row> {
  return 'starting' in fault ? await runStartCase(market, fault) : await runCase(market, fault);
}

function report(rows: readonly Row[], { write, json }: { write: boolean; json?: string | undefined }): number {
  const table = tableOf(rows);
  process.stdout.write(`${table}\n`);
  if (json) writeFileSync(json, `${JSON.stringify(rows, null, 2)}\n`);
  if (write) writePage(table);
  const red = rows.filter(({ failures }) => failures.length > 0).length;
  process.stdout.write(`\n${rows.length} cases, ${red} red\n`);
  return red === 0 ? 0 : 1;
}

/** Puts the table between the two marks of docs/faults.md. */
function writePage(table: string): void {
  const file = join(root, 'docs/faults.md');
  const page = readFileSync(file, 'utf8');
  writeFileSync(
    file,
    page.replace(/(<!-- table -->\n)[^]*(<!-- \/table -->)/, (_, begin, end) => `${begin}\n${table}\n\n${end}`),
  );
}

process.exitCode = await main();
