import { randomBytes } from 'node:crypto';
import { type AgentErrorCode, type BackendMessage, CLOSE_CODES, LIMITS } from '@dcompute/shared-types';
import { WebSocket } from 'ws';
import type { NodeSession } from '../modules/nodes/index.js';
import { MinuteCount, TokenBucket } from './frame-limits.js';
import { GATEWAY_LIMITS } from './limits.js';
import { CLOSE_CODE_OF } from './refusals.js';

/** One agent's socket: its limits, its order, and the session that it carries once its hello was taken. */
export class AgentConnection {
  /** What the hello of this socket must sign. */
  readonly nonce = randomBytes(24).toString('base64url');
  session: NodeSession | undefined;
  lastHeardAtMs: number;

  readonly #frames: TokenBucket;
  readonly #malformed = new MinuteCount(LIMITS.malformedMessagesPerMinute);
  #tail: Promise<void> = Promise.resolve();
  #queued = 0;
  #queuedReports = 0;
  #overrun = false;

  constructor(
    readonly socket: WebSocket,
    readonly hostKeyId: string,
    nowMs: number,
  ) {
    this.lastHeardAtMs = nowMs;
    this.#frames = new TokenBucket(GATEWAY_LIMITS.frameBurst, GATEWAY_LIMITS.framesPerSecond, nowMs);
  }

  get isOpen(): boolean {
    return this.socket.readyState === WebSocket.OPEN;
  }

  /** Counts a frame; false when there were too many, and the socket is being closed. */
  admitFrame(nowMs: number): boolean {
    this.lastHeardAtMs = nowMs;
    if (this.#frames.take(nowMs)) return true;
    if (this.isOpen) this.end('agent.rate_limited', 'Too many messages. Connect again after a pause.');
    return false;
  }

  /** Answers a message that cannot be used; the tenth within a minute ends the connection. */
  answerMalformed(problem: string, nowMs: number): void {
    this.sendError('agent.malformed_message', problem);
    if (this.#malformed.reaches(nowMs)) this.close(CLOSE_CODES.policyViolation, 'too many malformed messages');
  }

  /** Sends a message. An agent that does not read is cut off before it fills the memory. */
  send(message: BackendMessage): void {
    if (!this.isOpen) return;
    if (this.socket.bufferedAmount > GATEWAY_LIMITS.sendBufferBytes) return this.socket.terminate();
    this.socket.send(JSON.stringify(message));
  }

  /** Sends a message and resolves when it has left: back-pressure for whoever has many. Rejects when it does not leave. */
  async sendDrained(message: BackendMessage): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      this.socket.terminate();
      reject(new Error('the agent does not read'));
    }, GATEWAY_LIMITS.sendTimeoutMs);
    this.socket.send(JSON.stringify(message), (error) => (error ? reject(error) : resolve()));
    await promise.finally(() => clearTimeout(timer));
  }

  sendError(code: AgentErrorCode, message: string): void {
    this.send({ event: 'error', data: { code, message: message.slice(0, 1000) } });
  }

  /** Says why and ends the connection, with the close code that belongs to the error. */
  end(code: AgentErrorCode, message: string): void {
    this.sendError(code, message);
    this.close(CLOSE_CODE_OF[code] ?? CLOSE_CODES.policyViolation, code);
  }

  close(closeCode: number, reason: string): void {
    if (this.isOpen) this.socket.close(closeCode, reason);
  }

  /**
   * Runs work of this connection one after the other, in the order of this call; `reports` says how many reports on
   * instances it holds in memory. `work` must not throw. With too much waiting the agent is told to come again later and
   * what waits is dropped: its next session begins with everything that it has to say.
   */
  enqueue(work: () => Promise<void>, reports = 0): void {
    if (this.#overrun) return;
    if (this.#queued >= GATEWAY_LIMITS.queuedWork || this.#queuedReports + reports > GATEWAY_LIMITS.queuedReports) {
      this.#overrun = true;
      if (this.isOpen)
        this.end('agent.rate_limited', 'The platform is behind with your reports. Connect again after a pause.');
      return;
    }
    this.#queued += 1;
    this.#queuedReports += reports;
    this.#tail = this.#tail
      .then(() => (this.#overrun ? undefined : work()))
      .finally(() => {
        this.#queued -= 1;
        this.#queuedReports -= reports;
      });
  }
}

/** A connection whose hello was taken. */
export type LiveConnection = AgentConnection & { session: NodeSession };

export function isLive(connection: AgentConnection): connection is LiveConnection {
  return connection.session !== undefined;
}
