import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { AgentEvent, BackendEvent } from '@dcompute/shared-types';
import { type RawData, WebSocket, WebSocketServer } from 'ws';

const MAX_NOTED = 20_000;

/** What becomes of one message: handed on once, not at all, twice, or only after the next one of its direction. */
export type Verdict = 'pass' | 'drop' | 'double' | 'overtaken';
export type Message<E> = { readonly event: E; readonly data: Record<string, unknown> };

/** Stands between an agent and the gateway on loopback, and loses, doubles or reorders messages by a test's rules. */
export class FaultProxy {
  /** Judges each message of the gateway. */
  toAgent: (message: Message<BackendEvent>) => Verdict = () => 'pass';
  /** Judges each message of the agent. */
  toBackend: (message: Message<AgentEvent>) => Verdict = () => 'pass';
  /** Every message that was handed on to the agent, in order. */
  readonly delivered: Message<BackendEvent>[] = [];
  /** Every message that the agent sent, in order. */
  readonly sent: Message<AgentEvent>[] = [];
  readonly #server: WebSocketServer;
  readonly #target: string;
  #agent: WebSocket | undefined;

  // No parameter properties: Node runs this file as it is, with its types left out.
  private constructor(server: WebSocketServer, target: string) {
    this.#server = server;
    this.#target = target;
    server.on('connection', (agent, request) =>
      this.#connect(agent, request.url ?? '/', request.headers.authorization ?? ''),
    );
  }

  /** Listens on a free port of loopback. @param target the gateway's ws:// origin */
  static async start(target: string): Promise<FaultProxy> {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
    await once(server, 'listening');
    return new FaultProxy(server, target);
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Says something to the agent that the gateway never said (or says it again). */
  tellAgent(message: { event: BackendEvent; data: unknown }): void {
    this.#agent?.send(JSON.stringify(message));
  }

  /** Cuts the connection of the moment; the agent will come again. */
  cut(): void {
    this.#agent?.terminate();
  }

  async stop(): Promise<void> {
    for (const client of this.#server.clients) client.terminate();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #connect(agent: WebSocket, path: string, authorization: string): void {
    this.#agent = agent;
    const backend = new WebSocket(`${this.#target}${path}`, { headers: { authorization }, perMessageDeflate: false });
    const early: string[] = [];
    const toBackend = (text: string): void => {
      if (backend.readyState === WebSocket.OPEN) backend.send(text);
      else early.push(text);
    };
    backend.on('open', () => early.splice(0).forEach((text) => backend.send(text)));
    const fromAgent = new Lane(toBackend);
    const fromBackend = new Lane((text) => agent.send(text));
    agent.on('message', (data) => {
      const message = parse<AgentEvent>(data);
      note(this.sent, message);
      fromAgent.pass(this.toBackend(message), textOf(data));
    });
    backend.on('message', (data) => {
      const message = parse<BackendEvent>(data);
      const verdict = this.toAgent(message);
      if (verdict !== 'drop') note(this.delivered, message);
      if (verdict === 'double') note(this.delivered, message);
      fromBackend.pass(verdict, textOf(data));
    });
    backend.on('close', (code, reason) => agent.close(code >= 3000 ? code : 1001, reason));
    agent.on('close', () => backend.close());
    backend.on('error', () => agent.terminate());
    agent.on('error', () => backend.terminate());
  }
}

/** One direction of one connection: what is overtaken waits for the next message that is handed on. */
class Lane {
  readonly #send: (text: string) => void;
  #waiting: string[] = [];

  constructor(send: (text: string) => void) {
    this.#send = send;
  }

  pass(verdict: Verdict, text: string): void {
    if (verdict === 'drop') return;
    if (verdict === 'overtaken' && this.#waiting.length === 0) {
      this.#waiting.push(text);
      return;
    }
    this.#send(text);
    if (verdict === 'double') this.#send(text);
    for (const late of this.#waiting.splice(0)) this.#send(late);
  }
}

/** The last messages are kept; a proxy of a long run must not fill the memory. */
function note<E>(list: Message<E>[], message: Message<E>): void {
  list.push(message);
  if (list.length > MAX_NOTED) list.splice(0, list.length - MAX_NOTED);
}

function parse<E>(data: RawData): Message<E> {
  return JSON.parse(textOf(data)) as Message<E>;
}

/** A frame arrives as one buffer: `binaryType` is left as it is. */
function textOf(data: RawData): string {
  return (data as Buffer).toString();
}
