import { spawn } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Failure } from './failure.mjs';
import { endProcess, isAlive, processStartTime } from './process-table.mjs';
import { waitFor } from './wait.mjs';

const LOG_LIMIT_BYTES = 16 * 1024 * 1024;
const RESTART_DELAYS_MS = [200, 1000, 2000, 5000, 10_000];
/** A part that ran so long before it crashed does not crash in a loop: it is started again at once. */
const STEADY_MS = 10_000;

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
  /** @param {{runDir: string, logDir: string, onCrash?: (name: string, detail: string) => void, steadyMs?: number}} options */
  constructor({ runDir, logDir, onCrash = () => {}, steadyMs = STEADY_MS }) {
    this.steadyMs = steadyMs;
    this.runDir = runDir;
    this.logDir = logDir;
    this.onCrash = onCrash;
    /** @type {Map<string, {part: Part, record: {pid: number, startTime: number | null}, stopping: boolean, crashes: number, spawnedAtMs: number, exit?: string}>} */
    this.parts = new Map();
    mkdirSync(runDir, { recursive: true });
    mkdirSync(logDir, { recursive: true });
  }

  /** Starts a part and waits until it is ready. @param {Part} part */
  async start(part) {
    const entry = { part, record: { pid: 0, startTime: null }, stopping: false, crashes: 0, spawnedAtMs: 0 };
    this.parts.set(part.name, entry);
    this.#spawn(entry);
    try {
      await waitFor(part.name, part.ready, {
        timeoutMs: part.readyTimeoutMs ?? 30_000,
        intervalMs: 30,
        abort: () => (entry.crashes > 2 ? `it ends at once (${entry.exit})` : undefined),
      });
    } catch (error) {
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
   * Ends what a killed launcher left, in the order of `stopOrder` (unknown names last), but what `keep` names.
   * @param {{stopOrder: string[], stopSignals?: Record<string, NodeJS.Signals>}} options
   * @returns {Promise<string[]>} names of the parts that were ended
   */
  async endLeftovers({ stopOrder, stopSignals = {} }) {
    const rank = (name) => (stopOrder.includes(name) ? stopOrder.indexOf(name) : stopOrder.length);
    const names = readdirSync(this.runDir)
      .filter((file) => file.endsWith('.pid.json'))
      .map((file) => file.slice(0, -'.pid.json'.length))
      .sort((a, b) => rank(a) - rank(b));
    const ended = [];
    for (const name of names) {
      const record = JSON.parse(readFileSync(this.#pidFile(name), 'utf8'));
      if (isAlive(record)) {
        await endProcess(record, { signal: stopSignals[name] ?? 'SIGTERM', timeoutMs: 20_000 });
        ended.push(name);
      }
      rmSync(this.#pidFile(name), { force: true });
    }
    return ended;
  }

  #spawn(entry) {
    const { part } = entry;
    entry.spawnedAtMs = Date.now();
    const log = this.#openLog(part.name);
    const child = spawn(part.command, part.args, {
      cwd: part.cwd,
      env: part.env,
      uid: part.uid,
      gid: part.gid,
      detached: true,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    child.on('error', (error) => this.#ended(entry, error.message));
    child.on('exit', (code, signal) => this.#ended(entry, signal ? `signal ${signal}` : `exit code ${code}`));
    if (child.pid === undefined) return;
    entry.record = { pid: child.pid, startTime: processStartTime(child.pid) };
    writeFileSync(this.#pidFile(part.name), JSON.stringify({ name: part.name, ...entry.record }));
  }

  async #ended(entry, exit) {
    entry.exit = exit;
    if (entry.stopping) return;
    if (Date.now() - entry.spawnedAtMs >= this.steadyMs) entry.crashes = 0;
    const pause = RESTART_DELAYS_MS[Math.min(entry.crashes, RESTART_DELAYS_MS.length - 1)];
    entry.crashes += 1;
    this.onCrash(entry.part.name, exit);
    await delay(pause);
    if (!entry.stopping) this.#spawn(entry);
  }

  #openLog(name) {
    const file = this.#logFile(name);
    try {
      if (statSync(file).size > LOG_LIMIT_BYTES) renameSync(file, `${file}.1`);
    } catch {
      // first start: there is no log yet
    }
    return openSync(file, 'a', 0o640);
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
