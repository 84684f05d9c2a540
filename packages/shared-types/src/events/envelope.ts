import { z } from 'zod';
import { Ack, GetSpec, Heartbeat, Hello } from './agent-messages.js';
import {
  Challenge,
  Desired,
  DrainNode,
  HeartbeatAck,
  OpenStream,
  Spec,
  StartInstance,
  StopInstance,
  UpdateSshKeys,
  Welcome,
} from './backend-messages.js';
import { InstanceReport } from './instance.js';

/** Stable codes of `error` messages and of refused upgrades on the agent's socket. */
export const AgentErrorCode = z
  .enum([
    'agent.malformed_message',
    'agent.hello_required',
    'agent.protocol_version_unsupported',
    'agent.signature_invalid',
    'agent.identity_mismatch',
    'agent.host_key_invalid',
    'agent.host_key_revoked',
    'agent.role_forbidden',
    'agent.clone_suspected',
    'agent.fenced',
    'agent.spec_unknown',
    /** A desired list would stop most of the node's instances and gives no reason: held until an operator looks (R6). */
    'agent.mass_stop_held',
    'agent.rate_limited',
    'agent.internal',
  ])
  .meta({ id: 'AgentErrorCode' });
export type AgentErrorCode = z.infer<typeof AgentErrorCode>;

/** Answer to a message that could not be used. Sent in both directions. */
export const ProtocolError = z
  .object({ code: AgentErrorCode, message: z.string().max(1000) })
  .meta({ id: 'ProtocolError' });
export type ProtocolError = z.infer<typeof ProtocolError>;

/** WebSocket close codes that we use. 4000 and above: the agent must not try again before its host acts. */
export const CLOSE_CODES = {
  goingAway: 1001,
  policyViolation: 1008,
  messageTooBig: 1009,
  tryAgainLater: 1013,
  /** A newer session of the same node took over. */
  fenced: 4001,
  /** Host key revoked, wrong signature or another identity. */
  refused: 4003,
  /** Another machine answers under the same identity; tried again after a pause. */
  cloneSuspected: 4009,
} as const;

/** Every message that an agent sends, by event name. */
export const agentToBackend = {
  hello: Hello,
  heartbeat: Heartbeat,
  instance_status: InstanceReport,
  ack: Ack,
  get_spec: GetSpec,
  error: ProtocolError,
} as const;

/** Every message that the backend sends, by event name. */
export const backendToAgent = {
  challenge: Challenge,
  welcome: Welcome,
  desired: Desired,
  heartbeat_ack: HeartbeatAck,
  start_instance: StartInstance,
  stop_instance: StopInstance,
  drain_node: DrainNode,
  update_ssh_keys: UpdateSshKeys,
  open_stream: OpenStream,
  spec: Spec,
  error: ProtocolError,
} as const;

export type AgentEvent = keyof typeof agentToBackend;
export type BackendEvent = keyof typeof backendToAgent;
export type AgentMessage = {
  [E in AgentEvent]: { event: E; data: z.infer<(typeof agentToBackend)[E]> };
}[AgentEvent];
export type BackendMessage = {
  [E in BackendEvent]: { event: E; data: z.infer<(typeof backendToAgent)[E]> };
}[BackendEvent];

/** The envelope of every message: `{"event": string, "data": object}`. */
export const Envelope = z.object({ event: z.string().min(1).max(64), data: z.record(z.string(), z.unknown()) });
export type Envelope = z.infer<typeof Envelope>;

/** What came of one frame: a known message, an event that this version does not know, or a defect. */
export type ParsedMessage<M> =
  { kind: 'message'; message: M } | { kind: 'unknown_event'; event: string } | { kind: 'malformed'; problem: string };

/** Parses one frame that an agent sent. Never throws. */
export function parseAgentMessage(text: string): ParsedMessage<AgentMessage> {
  return parseMessage<AgentMessage>(text, agentToBackend);
}

/** Parses one frame that the backend sent. Never throws. */
export function parseBackendMessage(text: string): ParsedMessage<BackendMessage> {
  return parseMessage<BackendMessage>(text, backendToAgent);
}

function parseMessage<M>(text: string, table: Readonly<Record<string, z.ZodType>>): ParsedMessage<M> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { kind: 'malformed', problem: 'not JSON' };
  }
  const envelope = Envelope.safeParse(json);
  if (!envelope.success) return { kind: 'malformed', problem: describe(envelope.error) };
  const { event, data } = envelope.data;
  const schema = Object.hasOwn(table, event) ? table[event] : undefined;
  if (!schema) return { kind: 'unknown_event', event };
  const parsed = schema.safeParse(data);
  if (!parsed.success) return { kind: 'malformed', problem: `${event}: ${describe(parsed.error)}` };
  return { kind: 'message', message: { event, data: parsed.data } as M };
}

function describe(error: z.ZodError): string {
  return error.issues
    .slice(0, 3)
    .map((issue) => `${issue.path.join('.') || 'message'}: ${issue.message}`)
    .join('; ');
}
