import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';

const ASK_MS = 200;

/** One SSH session of the real client that is used all the time: it asks for an echo and notes how long each took. */
export class UsedSession {
  readonly #child: ChildProcess;
  /** Number of a question -> when it was asked. */
  readonly #asked = new Map<number, number>();
  #next = 0;
  #answered = 0;
  #longestMs = 0;
  #closedAt: number | undefined;
  #ending = false;

  private constructor(child: ChildProcess) {
    this.#child = child;
    let rest = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      const lines = (rest + String(chunk)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.#hear(Number(line));
    });
    child.stdin?.on('error', () => {});
    child.on('close', () => (this.#closedAt ??= Date.now()));
    void this.#askForEver();
  }

  /** Opens a session and waits for its first answer. @param args as for `ssh` */
  static async open(args: readonly string[]): Promise<UsedSession> {
    const child = spawn('ssh', ['-o', 'BatchMode=yes', ...args, 'while read -r line; do echo "$line"; done'], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const session = new UsedSession(child);
    for (let waited = 0; session.#answered === 0; waited += 50) {
      if (session.closed || waited > 20_000) throw new Error('the SSH session did not open');
      await delay(50);
    }
    session.#longestMs = 0;
    return session;
  }

  get closed(): boolean {
    return this.#closedAt !== undefined;
  }

  get closedAt(): number | undefined {
    return this.#closedAt;
  }

  /** The longest that an answer took, those still awaited included. */
  get longestSilenceMs(): number {
    const until = this.#closedAt ?? Date.now();
    const [oldest] = this.#asked.values();
    return Math.max(this.#longestMs, oldest === undefined ? 0 : until - oldest);
  }

  end(): void {
    this.#ending = true;
    this.#child.kill('SIGKILL');
  }

  async #askForEver(): Promise<void> {
    while (!this.closed && !this.#ending) {
      this.#asked.set(this.#next, Date.now());
      this.#child.stdin?.write(`${this.#next++}\n`);
      await delay(ASK_MS);
    }
  }

  #hear(number: number): void {
    const askedAt = this.#asked.get(number);
    if (askedAt === undefined) return;
    this.#asked.delete(number);
    this.#answered += 1;
    this.#longestMs = Math.max(this.#longestMs, Date.now() - askedAt);
  }
}
