import { spawn } from 'node:child_process';

/**
 * Runs a command in a session of its own and returns what it printed: a Ctrl-C in the terminal does not reach it, so it
 * may be part of a clean-up. Fails with its standard error.
 * @param {string} command
 * @param {string[]} args
 * @param {{timeoutMs: number, env?: Record<string, string | undefined>, cwd?: string}} options
 * @returns {Promise<string>}
 */
export function runDetached(command, args, { timeoutMs, env, cwd }) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: env ?? process.env,
      detached: true,
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (errors += chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) return resolve(output);
      const end = signal ? `ended by ${signal}` : `exit code ${code}`;
      return reject(new Error(errors.trim() || `${command.split('/').at(-1)} ${args[0] ?? ''}: ${end}`));
    });
  });
}
