import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Failure } from './failure.mjs';
import { catchSignals, interruption } from './interruption.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');

/** The commands of package.json that run a market. Each is loaded only when it is asked for. */
const commands = {
  async start(argv) {
    const { values } = parseArgs({ args: argv, options: { runtime: { type: 'string', default: 'docker' } } });
    if (values.runtime !== 'docker' && values.runtime !== 'simulated')
      throw new Failure(`--runtime ${values.runtime}: choose docker or simulated.`);
    const { startMarket } = await import('./start.mjs');
    catchSignals();
    await startMarket({ root, runtime: values.runtime });
  },
  async demo(argv) {
    parseArgs({ args: argv, options: {} });
    const { runDemo } = await import('./demo.mjs');
    catchSignals();
    await runDemo({ root });
  },
  async market(argv) {
    const { runMarketCommand } = await import('./market.mjs');
    await runMarketCommand({ root, argv });
  },
  async faults(argv) {
    const { runFaults } = await import('./faults.mjs');
    catchSignals();
    await runFaults({ root, argv });
  },
  async bench(argv) {
    const { runBench } = await import('../../bench/main.mjs');
    catchSignals();
    await runBench({ root, argv });
  },
};

// A reader that went away (a closed terminal, `| head`) ends no command half-way.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

const [name = '', ...argv] = process.argv.slice(2);
try {
  if (!Object.hasOwn(commands, name))
    throw new Failure(`usage: node tools/launch/main.mjs ${Object.keys(commands).join(' | ')}`);
  await commands[name](argv);
} catch (error) {
  const reason = interruption.aborted ? interruption.reason : error;
  process.stderr.write(`\n${textFor(reason)}\n`);
  if (process.env.DEBUG) process.stderr.write(`${error.stack}\n`);
  process.exitCode = reason.exitCode ?? 1;
}

/** A stack only for what is our own mistake: what a person can mend is a sentence. */
function textFor(error) {
  if (error instanceof Failure || error.code?.startsWith?.('ERR_PARSE_ARGS')) return error.message;
  if (error.code === 'ENOSPC') return `The disk is full (${error.message}). Free some space and run it again.`;
  if (error.code === 'EACCES' || error.code === 'EPERM')
    return `${error.message}\n  This user may not do that. Run it as the user who owns the folder, or name another one: DCOMPUTE_DATA_DIR=<folder>`;
  return error.stack;
}
