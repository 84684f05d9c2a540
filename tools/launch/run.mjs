import { spawn } from 'node:child_process';
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { Failure } from './failure.mjs';
import { interruption } from './interruption.mjs';
import { endProcess, isAlive, processStartTime } from './process-table.mjs';
import { tail } from './supervisor.mjs';
import { readJsonFile } from './whole-file.mjs';

const END_LIMIT_MS = 5000;
const NETWORK_TROUBLE =
  /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|Temporary failure in name resolution|no such host|i\/o timeout/;

/**
 * Runs a command to its end with its output in a log. Fails with the end of the log. The command has a session of its
 * own, so a Ctrl-C reaches this launcher alone, which ends the whole session; one that a killed launcher left behind
 * under the same log is ended first.
 * @param {string} command
 * @param {string[]} args
 * @param {{log: string, cwd?: string, env?: Record<string, string | undefined>}} options
 */
export async function runLogged(command, args, { log, cwd, env }) {
  await endRunOf(log);
  interruption.throwIfAborted();
  const output = openSync(log, 'a');
  const result = await runInSession(command, args, { cwd, env: env ?? process.env, output, log }).finally(() => {
    closeSync(output);
    rmSync(recordOf(log), { force: true });
  });
  interruption.throwIfAborted();
  if (result === 0) return;
  throw new Failure(
    `${[command.split('/').at(-1), ...args.slice(0, 2)].join(' ')} failed (${result}):\n${tail(log, 20)}`,
    NETWORK_TROUBLE.test(tail(log, 40))
      ? 'The package registry could not be reached. Check the network (and the proxy settings of npm, pip and Go), then run it again.'
      : `The whole output: ${log}`,
  );
}

/** Ends the command that a killed launcher left running with this log. @param {string} log */
export async function endRunOf(log) {
  const record = readJsonFile(recordOf(log));
  if (record && isAlive(record)) await endProcess(record, { signal: 'SIGTERM', timeoutMs: END_LIMIT_MS });
  rmSync(recordOf(log), { force: true });
}

const recordOf = (log) => `${log}.pid.json`;

/** Resolves with the exit code, the signal or what kept the command from starting. */
async function runInSession(command, args, { cwd, env, output, log }) {
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', output, output], detached: true });
  const ended = new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (status, signal) => resolve(signal ?? status));
  });
  if (child.pid === undefined) return await ended;
  const record = { pid: child.pid, startTime: processStartTime(child.pid) };
  writeFileSync(recordOf(log), JSON.stringify(record));
  const end = () => void endProcess(record, { signal: 'SIGTERM', timeoutMs: END_LIMIT_MS });
  interruption.addEventListener('abort', end);
  return await ended.finally(() => interruption.removeEventListener('abort', end));
}
