import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { until } from './until.js';

const STOP_MS = 10_000;

/** A program that a test runs as a process of its own, with everything it wrote. */
export class ChildProgram {
  output = '';

  private constructor(
    readonly name: string,
    private readonly child: ChildProcess,
  ) {
    child.stdout?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
  }

  static start(command: string, args: readonly string[], options: { cwd?: string; env?: Record<string, string> } = {}) {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'] ?? '', ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    return new ChildProgram(command, child);
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  get exitCode(): number | null {
    return this.child.exitCode;
  }

  /** Waits for `check`, and fails at once with what the program wrote when it ends before. */
  async ready(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
    await until(what, async () => this.hasEnded || (await check()));
    if (this.hasEnded) throw new Error(`${this.name} ended (${this.child.exitCode}):\n${this.output.slice(-4000)}`);
  }

  /** Waits for a line that it writes. */
  async says(text: string): Promise<void> {
    await until(`"${text}" from ${this.name}`, () => this.output.includes(text)).catch((error: unknown) => {
      throw new Error(`${this.name} wrote:\n${this.output.slice(-4000)}`, { cause: error });
    });
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (this.hasEnded) return;
    const ended = once(this.child, 'exit');
    this.child.kill(signal);
    const force = setTimeout(() => this.child.kill('SIGKILL'), STOP_MS);
    await ended;
    clearTimeout(force);
  }
}
