import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Failure } from './failure.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');

/** The commands of package.json that run a market. Each is loaded only when it is asked for. */
const commands = {
  async start(argv) {
    const { values } = parseArgs({ args: argv, options: { runtime: { type: 'string', default: 'docker' } } });
    if (values.runtime !== 'docker' && values.runtime !== 'simulated')
      throw new Failure(`--runtime ${values.runtime}: choose docker or simulated.`);
    const { startMarket } = await import('./start.mjs');
    await startMarket({ root, runtime: values.runtime });
  },
  async demo() {
    const { runDemo } = await import('./demo.mjs');
    await runDemo({ root });
  },
  async market(argv) {
    const { runMarketCommand } = await import('./market.mjs');
    await runMarketCommand({ root, argv });
  },
  async faults(argv) {
    const { runFaults } = await import('./faults.mjs');
    await runFaults({ root, argv });
  },
  async bench(argv) {
    const { runBench } = await import('../../bench/main.mjs');
    await runBench({ root, argv });
  },
};

const [name = '', ...argv] = process.argv.slice(2);
try {
  const command = commands[name];
  if (!command) throw new Failure(`usage: node tools/launch/main.mjs ${Object.keys(commands).join(' | ')}`);
  await command(argv);
} catch (error) {
  // A wrong option, too, is the person's to mend: no stack.
  const known = error instanceof Failure || error.code === undefined || error.code.startsWith('ERR_PARSE_ARGS');
  process.stderr.write(`\n${known ? error.message : error.stack}\n`);
  if (process.env.DEBUG) process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
}
