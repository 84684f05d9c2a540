import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { AgentEvent, BackendEvent } from '@dcompute/shared-types';
import { type RawData, WebSocket, WebSocketServer } from 'ws';

/** What becomes of one message: handed on once, not at all, or twice. */
export type Verdict = 'pass' | 'drop' | 'double';
type Message<E> = { readonly event: E; readonly data: Record<string, unknown> };

/** Stands between an agent and the gateway on loopback, and loses or doubles messages by a test's rules. */
export class FaultProxy {
  /** Judges each message of the gateway. */
  toAgent: (message: Message<BackendEvent>) => Verdict = () => 'pass';
  /** Judges each message of the agent. */
  toBackend: (message: Message<AgentEvent>) => Verdict = () => 'pass';
  /** Every message that was handed on to the agent, in order. */
  readonly delivered: Message<BackendEvent>[] = [];
  /** Every message that the agent sent, in order. */
  readonly sent: Message<AgentEvent>[] = [];
  #agent: WebSocket | undefined;

  private constructor(
    private readonly server: WebSocketServer,
    private readonly target: string,
  ) {
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
    return `ws://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
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
    for (const client of this.server.clients) client.terminate();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  #connect(agent: WebSocket, path: string, authorization: string): void {
    this.#agent = agent;
    const backend = new WebSocket(`${this.target}${path}`, { headers: { authorization }, perMessageDeflate: false });
    const early: string[] = [];
    const toBackend = (text: string): void => {
      if (backend.readyState === WebSocket.OPEN) backend.send(text);
      else early.push(text);
    };
    backend.on('open', () => early.splice(0).forEach((text) => backend.send(text)));
    agent.on('message', (data) => {
      const message = parse<AgentEvent>(data);
      this.sent.push(message);
      repeat(this.toBackend(message), () => toBackend(textOf(data)));
    });
    backend.on('message', (data) => {
      const message = parse<BackendEvent>(data);
      repeat(this.toAgent(message), () => {
        this.delivered.push(message);
        agent.send(textOf(data));
      });
    });
    backend.on('close', (code, reason) => agent.close(code >= 3000 ? code : 1001, reason));
    agent.on('close', () => backend.close());
    backend.on('error', () => agent.terminate());
    agent.on('error', () => backend.terminate());
  }
}

function parse<E>(data: RawData): Message<E> {
  return JSON.parse(textOf(data)) as Message<E>;
}

/** A frame arrives as one buffer: `binaryType` is left as it is. */
function textOf(data: RawData): string {
  return (data as Buffer).toString();
}

function repeat(verdict: Verdict, send: () => void): void {
  const times = { drop: 0, pass: 1, double: 2 }[verdict];
  for (let i = 0; i < times; i += 1) send();
}
