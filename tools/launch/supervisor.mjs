import { spawn } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Failure } from './failure.mjs';
import { interruption } from './interruption.mjs';
import { endProcess, isAlive, processStartTime } from './process-table.mjs';
import { waitFor } from './wait.mjs';
import { readJsonFile, writeWhole } from './whole-file.mjs';

const LOG_LIMIT_BYTES = 16 * 1024 * 1024;
const LOG_CHECK_MS = 60_000;
const RESTART_DELAYS_MS = [200, 1000, 2000, 5000, 10_000];
/** A part that worked for so long has got over its earlier crashes. */
const STABLE_MS = 60_000;

/**
 * @typedef {object} Part
 * @property {string} name also names the log file and the pid file
 * @property {string} command
 * @property {string[]} args
 * @property {Record<string, string>} [env] the whole environment of the part
 * @property {string} [cwd]
 * @property {number} [uid]
 * @property {number} [gid]
 * @property {() => unknown} ready truthy once the part works
 * @property {number} [readyTimeoutMs]
 * @property {NodeJS.Signals} [stopSignal] default SIGTERM
 * @property {number} [stopTimeoutMs]
 */

/**
 * Starts the parts of the market, each in a session of its own with a log file and a pid file, restarts those that
 * crash, and stops them. A launcher that was killed leaves its pid files: `endLeftovers` of the next one reads them.
 */
export class Supervisor {
  /** @param {{runDir: string, logDir: string, onCrash?: (name: string, detail: string) => void}} options */
  constructor({ runDir, logDir, onCrash = () => {} }) {
    this.runDir = runDir;
    this.logDir = logDir;
    this.onCrash = onCrash;
    /** @type {Map<string, {part: Part, record: {pid: number, startTime: number | null}, stopping: boolean, crashes: number, startedAt: number, exit?: string}>} */
    this.parts = new Map();
    mkdirSync(runDir, { recursive: true });
    mkdirSync(logDir, { recursive: true });
    setInterval(() => this.#shortenLogs(), LOG_CHECK_MS).unref();
  }

  /** Starts a part and waits until it is ready. @param {Part} part */
  async start(part) {
    interruption.throwIfAborted();
    const entry = { part, record: { pid: 0, startTime: null }, stopping: false, crashes: 0, startedAt: 0 };
    this.parts.set(part.name, entry);
    this.#spawn(entry);
    try {
      await waitFor(part.name, part.ready, {
        timeoutMs: part.readyTimeoutMs ?? 30_000,
        intervalMs: 30,
        abort: () => (entry.crashes > 2 ? `it ends at once (${entry.exit})` : undefined),
      });
    } catch (error) {
      interruption.throwIfAborted();
      throw new Failure(
        `${error.message}\n${indent(tail(this.#logFile(part.name)))}`,
        `The whole log: ${this.#logFile(part.name)}`,
      );
    }
  }

  /** Stops a part that this launcher started. @param {string} name */
  async stop(name) {
    const entry = this.parts.get(name);
    if (!entry) return;
    entry.stopping = true;
    const { stopSignal = 'SIGTERM', stopTimeoutMs = 15_000 } = entry.part;
    await endProcess(entry.record, { signal: stopSignal, timeoutMs: stopTimeoutMs });
    rmSync(this.#pidFile(name), { force: true });
    this.parts.delete(name);
  }

  /** A part is about to end by itself: that is no crash. @param {string} name */
  expectEnd(name) {
    const entry = this.parts.get(name);
    if (entry) entry.stopping = true;
  }

  /** The pid of a running part. @param {string} name */
  pidOf(name) {
    return this.parts.get(name)?.record.pid;
  }

  /**
   * Ends what a killed launcher left, in the order of `stopOrder` (unknown names last).
   * @param {{stopOrder: string[], stopSignals?: Record<string, NodeJS.Signals>, afterEach?: (name: string) => Promise<void>}} options
   *   `afterEach` is awaited before the next part is ended
   * @returns {Promise<string[]>} names of the parts that were ended
   */
  async endLeftovers({ stopOrder, stopSignals = {}, afterEach = async () => {} }) {
    const rank = (name) => (stopOrder.includes(name) ? stopOrder.indexOf(name) : stopOrder.length);
    const names = readdirSync(this.runDir)
      .filter((file) => file.endsWith('.pid.json'))
      .map((file) => file.slice(0, -'.pid.json'.length))
      .sort((a, b) => rank(a) - rank(b));
    const ended = [];
    for (const name of names) {
      const record = readJsonFile(this.#pidFile(name)) ?? { pid: 0, startTime: null };
      if (isAlive(record)) ended.push(name);
      // Also where the part itself has died: its children may not.
      await endProcess(record, { signal: stopSignals[name] ?? 'SIGTERM', timeoutMs: 20_000 });
      rmSync(this.#pidFile(name), { force: true });
      await afterEach(name);
    }
    return ended;
  }

  #spawn(entry) {
    const { part } = entry;
    const log = openSync(this.#logFile(part.name), 'a', 0o640);
    const child = spawn(part.command, part.args, {
      cwd: part.cwd,
      env: part.env,
      uid: part.uid,
      gid: part.gid,
      detached: true,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    child.on('error', (error) => this.#restart(entry, error.message));
    child.on('exit', (code, signal) => this.#restart(entry, signal ? `signal ${signal}` : `exit code ${code}`));
    if (child.pid === undefined) return;
    entry.startedAt = performance.now();
    entry.record = { pid: child.pid, startTime: processStartTime(child.pid) };
    try {
      writeWhole(this.#pidFile(part.name), JSON.stringify({ name: part.name, ...entry.record }));
    } catch (error) {
      // A part that no later launcher could find must not run; its end starts it again.
      child.kill('SIGKILL');
      throw error;
    }
  }

  /** Starts a part again that ended by itself, ever more slowly; not being able to is one more crash. */
  async #restart(entry, exit) {
    entry.exit = exit;
    if (entry.stopping) return;
    if (entry.startedAt > 0 && performance.now() - entry.startedAt > STABLE_MS) entry.crashes = 0;
    const pause = RESTART_DELAYS_MS[Math.min(entry.crashes, RESTART_DELAYS_MS.length - 1)];
    entry.crashes += 1;
    this.onCrash(entry.part.name, exit);
    await delay(pause);
    if (entry.stopping) return;
    entry.startedAt = 0;
    try {
      this.#spawn(entry);
    } catch (error) {
      // Once it runs, its exit leads here again; where it does not (a full disk), this does.
      if (entry.startedAt === 0) await this.#restart(entry, error.message);
    }
  }

  /** Every part appends to its log, so it may be cut while it is written. */
  #shortenLogs() {
    for (const name of this.parts.keys()) {
      const file = this.#logFile(name);
      try {
        if (statSync(file).size <= LOG_LIMIT_BYTES) continue;
        copyFileSync(file, `${file}.1`);
        truncateSync(file);
      } catch {
        // There is no log, or no room for a copy: the next look will tell.
      }
    }
  }

  #logFile = (name) => join(this.logDir, `${name}.log`);
  #pidFile = (name) => join(this.runDir, `${name}.pid.json`);
}

/** The last lines of a log. @param {string} file */
export function tail(file, lines = 15) {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '(no log)';
  }
}

const indent = (text) => text.replace(/^/gm, '    ');
