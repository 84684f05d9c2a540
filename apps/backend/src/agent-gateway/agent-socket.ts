import { AGENT_PROTOCOL_VERSION, type AgentMessage, parseAgentMessage } from '@dcompute/shared-types';
import type { RawData, WebSocket } from 'ws';
import { AgentConnection } from './agent-connection.js';
import type { AgentSession } from './agent-session.js';
import type { GatewayServices } from './gateway-services.js';
import { takeError } from './handlers/error.js';
import { answerGetSpec } from './handlers/get-spec.js';
import { takeHeartbeat } from './handlers/heartbeat.js';
import { takeHello } from './handlers/hello.js';
import { takeInstanceStatus } from './handlers/instance-status.js';
import { GATEWAY_LIMITS } from './limits.js';

/** A NUL in JSON text: `\u0000` after an even number of backslashes. No text of ours has one, and PostgreSQL takes none. */
const ESCAPED_NUL = /(?<!\\)(?:\\\\)*\\u0000/;

/** Serves one agent's socket from the challenge to its end. */
export function serveAgent(services: GatewayServices, socket: WebSocket, hostKeyId: string): void {
  const { clock, connections } = services;
  const connection = new AgentConnection(socket, hostKeyId, clock.nowMs());
  const reader = new FrameReader(services, connection);
  const timer = setTimeout(() => {
    connection.end('agent.hello_required', 'No hello came in time.');
  }, GATEWAY_LIMITS.helloTimeoutMs);
  connections.add(connection);
  socket.on('message', (data, isBinary) => reader.read(data, isBinary, () => clearTimeout(timer)));
  socket.on('ping', () => connection.admitFrame(clock.nowMs()));
  // Too large a frame, or no valid one: ws closes the socket with the code that fits.
  socket.on('error', (error) => services.logger.debug('gateway.socket_error', { hostKeyId, message: error.message }));
  socket.on('close', () => {
    clearTimeout(timer);
    connections.remove(connection);
  });
  const data = { nonce: connection.nonce, protocol_version: AGENT_PROTOCOL_VERSION };
  connection.send({ event: 'challenge', data });
}

/** Reads the frames of one socket: hello first, then everything else by the table of handlers. */
class FrameReader {
  #session: AgentSession | undefined;
  #helloTaken = false;

  constructor(
    private readonly services: GatewayServices,
    private readonly connection: AgentConnection,
  ) {}

  read(data: RawData, isBinary: boolean, onHello: () => void): void {
    const nowMs = this.services.clock.nowMs();
    if (!this.connection.isOpen || !this.connection.admitFrame(nowMs)) return;
    const parsed = isBinary ? BINARY : parseText(textOf(data));
    if (parsed.kind === 'unknown_event') {
      this.services.counters.unknownEvents += 1;
    } else if (parsed.kind === 'malformed') {
      this.services.counters.malformed += 1;
      this.connection.answerMalformed(parsed.problem, nowMs);
    } else {
      this.services.counters.countMessage(parsed.message.event);
      this.#take(parsed.message, nowMs, onHello);
    }
  }

  #take(message: AgentMessage, nowMs: number, onHello: () => void): void {
    if (message.event === 'hello') {
      if (this.#helloTaken) return this.connection.answerMalformed('hello: a socket has one hello', nowMs);
      this.#helloTaken = true;
      onHello();
      return void takeHello(this.services, this.connection, message.data, (session) => (this.#session = session));
    }
    if (!this.#session) {
      this.connection.sendError('agent.hello_required', 'Send hello first, and wait for the welcome.');
      return this.connection.answerMalformed(`${message.event}: before the welcome`, nowMs);
    }
    dispatch(this.#session, message);
  }
}

/** One handler for each kind of message that a live session may send. */
function dispatch(session: AgentSession, message: Exclude<AgentMessage, { event: 'hello' }>): void {
  switch (message.event) {
    case 'heartbeat':
      return takeHeartbeat(session, message.data);
    case 'instance_status':
      return takeInstanceStatus(session, message.data);
    case 'get_spec':
      return answerGetSpec(session, message.data);
    case 'ack':
      return session.services.counters.countAck(message.data);
    case 'error':
      return takeError(session, message.data);
  }
}

type Parsed = ReturnType<typeof parseAgentMessage>;

const BINARY: Parsed = { kind: 'malformed', problem: 'messages are text, not binary' };

function parseText(text: string): Parsed {
  if (text.includes('\\u0000') && ESCAPED_NUL.test(text)) return { kind: 'malformed', problem: 'text with a NUL' };
  return parseAgentMessage(text);
}

/** A text frame arrives as one Buffer: that is what `ws` gives unless told otherwise. */
function textOf(data: RawData): string {
  return Buffer.isBuffer(data) ? data.toString('utf8') : '';
}
