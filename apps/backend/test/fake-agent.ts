import { type KeyObject, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import {
  AGENT_PROTOCOL_VERSION,
  type BackendEvent,
  type BackendMessage,
  type Desired,
  type DesiredInstance,
  type Heartbeat,
  type HeartbeatAck,
  type Hello,
  type InstanceReport,
  type NodeSpecs,
  type UsageSegment,
  canonicalJson,
  helloSigningText,
  parseBackendMessage,
} from '@dcompute/shared-types';
import { WebSocket } from 'ws';
import { specsOf } from './market.js';
import { until } from './until.js';

const BOOTED_BEFORE_MS = 86_400_000;

/** A node's key pair, and the public key as the wire has it. */
export interface AgentIdentity {
  readonly publicKey: string;
  readonly privateKey: KeyObject;
}

export function newIdentity(): AgentIdentity {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
  return { publicKey: raw.toString('base64'), privateKey };
}

export interface FakeAgentOptions {
  /** The backend's URL, `http://…`. */
  readonly url: string;
  readonly hostKey: string;
  readonly identity?: AgentIdentity;
  readonly bootId?: string;
  readonly specs?: NodeSpecs;
}

type DataOf<E extends BackendEvent> = Extract<BackendMessage, { event: E }>['data'];

/** What answered instead of a socket. */
export class UpgradeRefused extends Error {
  constructor(
    readonly status: number,
    readonly body: Record<string, unknown>,
  ) {
    super(`${status} ${JSON.stringify(body)}`);
  }
}

/**
 * An agent of a node without instances of its own: it speaks the real protocol over a real WebSocket and says what a test
 * lets it say. One object is one socket; a later session of the same node is another object with the same identity.
 */
export class FakeAgent {
  readonly identity: AgentIdentity;
  readonly bootId: string;
  readonly sessionId = randomUUID();
  readonly specs: NodeSpecs;
  /** Everything that came, in order; a frame that is not of the protocol fails the test at once. */
  readonly received: BackendMessage[] = [];
  /** Sizes in bytes of all frames that came. */
  readonly frameBytes: number[] = [];
  closed: { readonly code: number; readonly reason: string } | undefined;
  nodeId = '';
  revApplied = 0;

  #socket: WebSocket | undefined;
  #seq = 0;
  #segments = 0;
  #defect: string | undefined;

  constructor(private readonly options: FakeAgentOptions) {
    this.identity = options.identity ?? newIdentity();
    this.bootId = options.bootId ?? randomUUID();
    this.specs = options.specs ?? specsOf();
  }

  /** Milliseconds of a boot clock that began well before this process. */
  get bootMs(): number {
    return BOOTED_BEFORE_MS + Math.floor(performance.now());
  }

  /** Opens the socket. Throws an UpgradeRefused when the gateway answers with something else. */
  async connect(): Promise<this> {
    const socket = new WebSocket(`${this.options.url.replace(/^http/, 'ws')}/agent/v1`, {
      headers: { authorization: `Bearer ${this.options.hostKey}` },
      perMessageDeflate: false,
    });
    this.#socket = socket;
    socket.on('message', (data: Buffer) => this.#take(data));
    socket.on('close', (code, reason) => (this.closed = { code, reason: reason.toString() }));
    const refused = once(socket, 'unexpected-response') as Promise<[unknown, IncomingMessage]>;
    const opened = once(socket, 'open');
    const failed = once(socket, 'error');
    socket.on('error', () => {});
    await Promise.race([
      opened,
      failed,
      refused.then(async ([, response]) => Promise.reject(await refusalOf(response))),
    ]);
    await this.next('challenge');
    return this;
  }

  /** Connects, says hello and waits for the welcome and the whole desired list. */
  async start(change: Partial<Hello> = {}): Promise<this> {
    await this.connect();
    this.sayHello(change);
    this.nodeId = (await this.next('welcome')).node_id;
    this.revApplied = (await this.desired()).rev;
    return this;
  }

  /** The hello of this node, signed with its key over the nonce of this socket. */
  hello(change: Partial<Hello> = {}): Hello {
    const { nonce } = this.all('challenge')[0] ?? { nonce: '' };
    return {
      agent_version: '1.0.0',
      protocol_version: AGENT_PROTOCOL_VERSION,
      node_name: 'fake',
      specs: this.specs,
      boot_id: this.bootId,
      boot_ms: this.bootMs,
      session_id: this.sessionId,
      public_key: this.identity.publicKey,
      signature: this.#sign(helloSigningText(nonce, this.sessionId)),
      rev_applied: this.revApplied,
      gens: [],
      ...change,
    };
  }

  sayHello(change: Partial<Hello> = {}): void {
    this.send('hello', this.hello(change));
  }

  /** Sends a heartbeat and returns its number. */
  beat(change: Partial<Heartbeat> = {}): number {
    this.#seq += 1;
    this.send('heartbeat', {
      node_id: this.nodeId,
      status: 'online',
      metrics: { cpu_temp: null, gpu_temp: [], gpu_utilization: [], ram_usage_mb: 1024, disk_usage_gb: 10 },
      session_id: this.sessionId,
      seq: this.#seq,
      boot_id: this.bootId,
      boot_ms: this.bootMs,
      rev_applied: this.revApplied,
      ...change,
    });
    return this.#seq;
  }

  /** Sends a heartbeat and waits for its answer. */
  async beatAndWait(change: Partial<Heartbeat> = {}): Promise<HeartbeatAck> {
    const seq = this.beat(change);
    return await this.next('heartbeat_ack', (ack) => ack.seq === seq);
  }

  /** Beats until these segments are acknowledged, as an agent does. */
  async beatUntilAcked(segmentIds: readonly string[]): Promise<void> {
    await until('segments to be acknowledged', async () => {
      await this.beatAndWait();
      const acked = new Set(this.all('heartbeat_ack').flatMap((ack) => ack.usage_acked));
      return segmentIds.every((id) => acked.has(id));
    });
  }

  /** Beats until the desired list of at least `rev` is there, as an agent does. */
  async beatUntilDesired(rev: number): ReturnType<FakeAgent['desired']> {
    await until(`a list of revision ${rev}`, async () => {
      await this.beatAndWait();
      return this.all('desired').some((part) => part.rev >= rev);
    });
    return await this.desired(rev);
  }

  /** A report on what a desired item became. */
  report(item: DesiredInstance, phase: InstanceReport['phase'], change: Partial<InstanceReport> = {}): InstanceReport {
    const { rental_id, placement_id, incarnation, gen } = item;
    return { rental_id, placement_id, incarnation, gen, phase, phase_boot_ms: this.bootMs, ...change };
  }

  /** A signed segment of running time, on this node's boot clock. */
  segment(item: DesiredInstance, fromMs: number, toMs: number, change: Partial<UsageSegment> = {}): UsageSegment {
    const n = (this.#segments += 1);
    const { signature, ...content } = {
      segment_id: `${item.placement_id}:${item.incarnation}:${this.bootId}:${n}`,
      node_id: this.nodeId,
      rental_id: item.rental_id,
      placement_id: item.placement_id,
      incarnation: item.incarnation,
      container_id: 'c'.repeat(64),
      boot_id: this.bootId,
      n,
      from_ms: fromMs,
      to_ms: toMs,
      ...change,
    };
    return { ...content, signature: signature ?? this.#sign(canonicalJson(content)) };
  }

  send(event: string, data: unknown): void {
    this.sendText(JSON.stringify({ event, data }));
  }

  sendText(text: string | Buffer): void {
    this.#socket?.send(text);
  }

  /** Every message of a kind that came so far. */
  all<E extends BackendEvent>(event: E): DataOf<E>[] {
    if (this.#defect) throw new Error(this.#defect);
    return this.received.flatMap((message) => (message.event === event ? [message.data as DataOf<E>] : []));
  }

  /** The first message of a kind that fits, once it is there. Fails when the socket ends before. */
  async next<E extends BackendEvent>(event: E, fits: (data: DataOf<E>) => boolean = () => true): Promise<DataOf<E>> {
    const found = await until(`${event} for ${this.nodeId || 'a new node'}`, () => {
      const data = this.all(event).find(fits);
      return data ? { data } : this.closed && { data: undefined };
    });
    if (found.data === undefined) throw new Error(`closed with ${this.closed?.code} before ${event}`);
    return found.data;
  }

  /** The whole desired list of the newest revision of at least `rev`, once all its parts are there. */
  async desired(rev = 0): Promise<{ rev: number; frozen: boolean; items: DesiredInstance[]; parts: Desired[] }> {
    return await until(`the desired list of revision ${rev}`, () => {
      const newest = Math.max(-1, ...this.all('desired').map((part) => part.rev));
      const parts = this.all('desired').filter((part) => part.rev === newest);
      const whole = new Map(parts.map((part) => [part.part, part]));
      if (newest < rev || whole.size === 0 || whole.size < (parts[0]?.parts ?? 1)) return undefined;
      const ordered = [...whole.values()].toSorted((a, b) => a.part - b.part);
      return {
        rev: newest,
        frozen: ordered.some((part) => part.frozen),
        items: ordered.flatMap((part) => part.items),
        parts: ordered,
      };
    });
  }

  /** The close code, once the socket has ended. */
  async end(): Promise<number> {
    return (await until('the socket to be closed', () => this.closed)).code;
  }

  /** Ends the socket as a machine does that loses its power. */
  async cut(): Promise<void> {
    this.#socket?.terminate();
    await this.end();
  }

  #take(data: Buffer): void {
    this.frameBytes.push(data.length);
    const parsed = parseBackendMessage(data.toString('utf8'));
    if (parsed.kind === 'message') this.received.push(parsed.message);
    else this.#defect = `the gateway sent a frame that is not of the protocol: ${JSON.stringify(parsed)}`;
  }

  #sign(text: string): string {
    return sign(null, Buffer.from(text), this.identity.privateKey).toString('base64');
  }
}

async function refusalOf(response: IncomingMessage): Promise<UpgradeRefused> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return new UpgradeRefused(
    response.statusCode ?? 0,
    JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>,
  );
}
