import { readFileSync, readdirSync } from 'node:fs';
import { waitFor } from './wait.mjs';

/**
 * When a process began, in clock ticks since boot: with the pid it names one process for ever, where a pid alone may
 * have been given to another. Null when there is no such process (a zombie counts as gone).
 * @param {number} pid
 */
export function processStartTime(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? null : Number(fields[19]);
  } catch {
    return null;
  }
}

/** @param {{pid: number, startTime: number | null}} record */
export function isAlive(record) {
  return record.startTime !== null && processStartTime(record.pid) === record.startTime;
}

/** Every process of a session (the parts run in sessions of their own, so this finds their children too). */
function processesOfSession(sessionId) {
  const found = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (Number(fields[3]) === sessionId && fields[0] !== 'Z') found.push(Number(entry));
    } catch {
      // gone between readdir and read
    }
  }
  return found;
}

/**
 * Ends one process: `signal`, then SIGKILL to it and whatever is left of its session.
 * @param {{pid: number, startTime: number | null}} record
 * @param {{signal: NodeJS.Signals, timeoutMs: number}} options
 * @returns {Promise<boolean>} false when it had to be killed
 */
export async function endProcess(record, { signal, timeoutMs }) {
  let clean = true;
  if (isAlive(record)) {
    sendSignal(record.pid, signal);
    try {
      await waitFor(`process ${record.pid} to end`, () => !isAlive(record), { timeoutMs, intervalMs: 20 });
    } catch {
      clean = false;
    }
  }
  for (const pid of processesOfSession(record.pid)) sendSignal(pid, 'SIGKILL');
  await waitFor(`session ${record.pid} to end`, () => processesOfSession(record.pid).length === 0, {
    timeoutMs: 10_000,
    intervalMs: 20,
  });
  return clean;
}

function sendSignal(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}
