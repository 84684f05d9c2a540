import { readFileSync, readdirSync } from 'node:fs';
import { waitFor } from './wait.mjs';

/**
 * When a process began, in clock ticks since boot: with the pid it names one process for ever, where a pid alone may
 * have been given to another. Null when there is no such process (a zombie counts as gone).
 * @param {number} pid
 */
export function processStartTime(pid) {
  const fields = statOf(pid);
  return fields === null || fields[0] === 'Z' ? null : Number(fields[19]);
}

/** @param {{pid: number, startTime: number | null}} record */
export function isAlive(record) {
  return record.startTime !== null && processStartTime(record.pid) === record.startTime;
}

/**
 * What is left of the session that a process led (the parts run in sessions of their own, so this finds their children
 * too). Empty when its pid belongs to another process by now, or never belonged to one.
 * @param {{pid: number, startTime: number | null}} record
 */
function processesOfSession(record) {
  if (record.startTime === null) return [];
  const leader = processStartTime(record.pid);
  if (leader !== null && leader !== record.startTime) return [];
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => sessionOf(pid) === record.pid);
}

/** The session of a process; null when it is gone or a zombie. @param {number} pid */
function sessionOf(pid) {
  const fields = statOf(pid);
  return fields === null || fields[0] === 'Z' ? null : Number(fields[3]);
}

/** The fields of /proc/<pid>/stat after the command's name. @param {number} pid */
function statOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
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
    clean = await waitFor(`process ${record.pid} to end`, () => !isAlive(record), {
      timeoutMs,
      intervalMs: 20,
      evenInterrupted: true,
    }).catch(() => false);
  }
  const killed = () => {
    const left = processesOfSession(record);
    for (const pid of left) sendSignal(pid, 'SIGKILL');
    return left.length === 0;
  };
  await waitFor(`session ${record.pid} to end`, killed, { timeoutMs: 10_000, intervalMs: 20, evenInterrupted: true });
  return clean;
}

function sendSignal(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}
