import { Failure } from './failure.mjs';

/**
 * Readable progress on stderr, so that stdout stays free for results. One line per step, with the seconds it took.
 * @param {{quiet?: boolean}} [options]
 */
export function createProgress({ quiet = false } = {}) {
  const started = Date.now();
  const write = (text) => {
    if (!quiet) process.stderr.write(text);
  };
  return {
    /** Runs `work` and says how long it took. A failure is named after its step. */
    async step(name, work) {
      const begin = Date.now();
      write(`  ${name} …`);
      try {
        const result = await work();
        write(`\r  ${name} ${dots(name)} ${seconds(Date.now() - begin)}\n`);
        return result;
      } catch (error) {
        write(`\r  ${name} ${dots(name)} failed\n`);
        if (error instanceof Failure || error.code) throw error;
        throw new Error(`${name}: ${error.message}`, { cause: error });
      }
    },
    note: (text) => write(`  ${text}\n`),
    elapsedMs: () => Date.now() - started,
  };
}

const dots = (name) => '.'.repeat(Math.max(2, 46 - name.length));
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
