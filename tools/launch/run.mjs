import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { tail } from './supervisor.mjs';
import { Failure } from './failure.mjs';

/**
 * Runs a command to its end with its output in a log. Fails with the end of the log.
 * @param {string} command
 * @param {string[]} args
 * @param {{log: string, cwd?: string, env?: Record<string, string | undefined>}} options
 */
export async function runLogged(command, args, { log, cwd, env }) {
  const output = openSync(log, 'a');
  const code = await new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env: env ?? process.env, stdio: ['ignore', output, output] });
    child.on('error', (error) => resolve(error.message));
    child.on('close', (status, signal) => resolve(signal ?? status));
  }).finally(() => closeSync(output));
  if (code === 0) return;
  const network =
    /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|Temporary failure in name resolution|no such host|i\/o timeout/.test(
      tail(log, 40),
    );
  throw new Failure(
    `${[command.split('/').at(-1), ...args.slice(0, 2)].join(' ')} failed (${code}):\n${tail(log, 20)}`,
    network
      ? 'The package registry could not be reached. Check the network (and the proxy settings of npm, pip and Go), then run it again.'
      : `The whole output: ${log}`,
  );
}
