import { type KeyObject, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import {
  type InstancePhase,
  type InstanceReport,
  type NodeSpecs,
  type Rental,
  type UsageSegment,
  canonicalJson,
  helloSigningText,
} from '@dcompute/shared-types';
import type { Beat, BeatSpan } from '../src/modules/metering/index.js';
import { type NodeSession, NodeSessions } from '../src/modules/nodes/index.js';
import type { Market, Person } from './market.js';

/** A node's boot clock began this long before the epoch milliseconds that the backend has: any distance will do. */
const BOOTED_AT_MS = 1_700_000_000_000;

/** A node with its identity, without agent or socket: it says what a test lets it say. */
export class TestNode {
  #segments = 0;

  constructor(
    private readonly market: Market,
    readonly host: Person,
    private readonly identity: NodeIdentity,
    private session: NodeSession,
  ) {}

  get nodeId(): string {
    return this.session.nodeId;
  }

  /** Its present session, which every write of it is checked by. */
  get fence() {
    return { nodeId: this.session.nodeId, sessionEpoch: this.session.sessionEpoch };
  }

  bootMs(atMs = this.market.nowMs()): number {
    return atMs - BOOTED_AT_MS;
  }

  /** A report on the placement that a rental has now. */
  async reportOf(rental: Pick<Rental, 'id'>, phase: InstancePhase, more: Partial<InstanceReport> = {}) {
    const { rows } = await this.market.backend.db.query<{ id: string; incarnation: number; gen: string }>(
      `SELECT "id", "incarnation", "gen" FROM "Placement" WHERE "rentalId" = $1 ORDER BY "current" DESC LIMIT 1`,
      [rental.id],
    );
    const [placement] = rows;
    if (!placement) throw new Error(`rental ${rental.id} has no placement`);
    const { id, incarnation, gen } = placement;
    const report: InstanceReport = {
      rental_id: rental.id,
      placement_id: id,
      incarnation,
      gen: Number(gen),
      phase,
      phase_boot_ms: this.bootMs(),
      ...more,
    };
    return report;
  }

  /** Says that a rental's instance is in a phase now. */
  async say(rental: Pick<Rental, 'id'>, phase: InstancePhase, more: Partial<InstanceReport> = {}): Promise<boolean> {
    return await this.market.agents.applyReports(this.fence, [await this.reportOf(rental, phase, more)]);
  }

  /** Heartbeats without a gap over a time, as one batch of a gateway. */
  async beat(fromMs: number, toMs = fromMs): Promise<void> {
    const { bootId } = this.identity;
    await this.beats([{ bootId, firstAtMs: fromMs, lastAtMs: toMs, offsetMs: BOOTED_AT_MS }]);
  }

  /** Heartbeats as a gateway has folded them. */
  async beats(spans: readonly BeatSpan[]): Promise<void> {
    await this.market.metering.recordBatch({ beats: [{ ...this.fence, spans }], segments: [] });
  }

  /** One heartbeat at a moment. */
  beatAt(atMs: number): Beat {
    return { bootId: this.identity.bootId, bootMs: this.bootMs(atMs), receivedAtMs: atMs };
  }

  /** A signed segment of running time, by the backend's clock. */
  async segment(rental: Pick<Rental, 'id'>, fromMs: number, toMs: number): Promise<UsageSegment> {
    const { placement_id, incarnation } = await this.reportOf(rental, 'running');
    const n = (this.#segments += 1);
    const content = {
      segment_id: `${placement_id}:${incarnation}:${this.identity.bootId}:${n}`,
      node_id: this.nodeId,
      rental_id: rental.id,
      placement_id,
      incarnation,
      container_id: 'c'.repeat(64),
      boot_id: this.identity.bootId,
      n,
      from_ms: this.bootMs(fromMs),
      to_ms: this.bootMs(toMs),
    };
    return {
      ...content,
      signature: sign(null, Buffer.from(canonicalJson(content)), this.identity.privateKey).toString('base64'),
    };
  }

  /** Segments as a gateway received them. */
  received(segments: readonly UsageSegment[]) {
    const { bootId } = this.identity;
    const { publicKey } = this.session;
    return { ...this.fence, bootId, bootMs: this.bootMs(), publicKey, segments };
  }

  /** Hands segments in, as a gateway would. */
  async meter(segments: readonly UsageSegment[]): Promise<void> {
    await this.market.metering.recordBatch({ beats: [], segments: [this.received(segments)] });
  }

  /** What the guard saw of a rental's SSH port. */
  async probe(rental: Pick<Rental, 'id'>, ok: boolean, atMs = this.market.nowMs()): Promise<void> {
    const leaseId = await this.market.value(
      `SELECT "id" FROM "PortLease" WHERE "rentalId" = $1 AND "containerPort" = 22`,
      [rental.id],
    );
    const probe = { leaseId: leaseId ?? '', rentalId: rental.id, at: new Date(atMs).toISOString(), ok, durationMs: 5 };
    await this.market.metering.recordProbes(this.market.proxyServerId, [
      { ...probe, ...(ok ? {} : { failure: 'timeout' }) },
    ]);
  }

  /** Takes a new rental to RUNNING, by reports and a probe at the present moment. */
  async run(rental: Pick<Rental, 'id'>): Promise<void> {
    await this.beat(this.market.nowMs());
    await this.say(rental, 'running');
    await this.probe(rental, true);
    await this.market.sweeper.proveReady([rental.id]);
  }

  /** Time passes while everything is well: heartbeats, probes and a segment, all whole. */
  async prove(rental: Pick<Rental, 'id'>, ms: number): Promise<void> {
    const fromMs = this.market.nowMs();
    this.market.advance(ms);
    await this.beat(fromMs, this.market.nowMs());
    for (let at = fromMs; at <= this.market.nowMs(); at += 30_000) await this.probe(rental, true, at);
    await this.meter([await this.segment(rental, fromMs, this.market.nowMs())]);
  }

  /** A later session of the same node, which may be made of something else by now. */
  async reconnect(specs = this.identity.specs): Promise<void> {
    this.session = await openSession(this.market, { ...this.identity, specs });
  }
}

/** What stays the same over a node's sessions. */
interface NodeIdentity {
  readonly hostKeyId: string;
  readonly specs: NodeSpecs;
  readonly bootId: string;
  /** The raw public key, base64. */
  readonly publicKey: string;
  readonly privateKey: KeyObject;
}

/** Enrols a node of a host, by its own host key and a signed hello. */
export async function enrolNode(market: Market, host: Person, specs: NodeSpecs): Promise<TestNode> {
  const { id: hostKeyId } = await host.client.post<{ id: string }>('/api/v1/host-keys', { name: 'test' });
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url').toString('base64');
  const identity = { hostKeyId, specs, bootId: randomUUID(), publicKey: raw, privateKey };
  return new TestNode(market, host, identity, await openSession(market, identity));
}

async function openSession(market: Market, request: NodeIdentity): Promise<NodeSession> {
  const sessionId = randomUUID();
  const nonce = randomUUID();
  const signature = sign(null, Buffer.from(helloSigningText(nonce, sessionId)), request.privateKey).toString('base64');
  return await market.backend.app.get(NodeSessions).open({
    hostKeyId: request.hostKeyId,
    nonce,
    hello: {
      agent_version: '1',
      protocol_version: 1,
      specs: request.specs,
      boot_id: request.bootId,
      boot_ms: market.nowMs() - BOOTED_AT_MS,
      session_id: sessionId,
      public_key: request.publicKey,
      signature,
      rev_applied: 0,
      gens: [],
    },
  });
}
