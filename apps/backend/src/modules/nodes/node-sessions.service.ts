import type { KeyObject } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import type { Hello } from '@dcompute/shared-types';
import { GATEWAY_CONFIG, type GatewayConfig } from '../../config/index.js';
import { Audit, Bus, Clock, Database, Logger, Outbox, type Tx } from '../../infra/index.js';
import { OffersService } from '../offers/index.js';
import { AgentRefusal } from './agent-refusal.js';
import { writeCapacity, writeGpus } from './inventory.js';
import { isCloneSuspected } from './node-clone.js';
import { type NodeKey, isSignedHello, readNodeKey } from './node-key.js';
import { NodesService } from './nodes.service.js';
import { type PlacementGeneration, raiseAfterRestore } from './restored-database.js';
import {
  type LockedHostKey,
  type LockedNode,
  bindNode,
  knownGens,
  lockHostKey,
  lockNode,
  raiseGens,
  startSession,
} from './session-record.js';

/** A session that was let in. It is the node's until a newer one takes over. */
export interface NodeSession {
  readonly nodeId: string;
  readonly hostKeyId: string;
  readonly sessionEpoch: number;
  readonly sessionId: string;
  readonly bootId: string;
  /** What the node's usage segments are verified with. */
  readonly publicKey: KeyObject;
  readonly rev: number;
  readonly frozen: boolean;
  readonly draining: boolean;
}

/** What a session has to know about its node's row, read again and again (R11). */
export interface NodePulse {
  readonly nodeId: string;
  readonly sessionEpoch: number;
  readonly rev: number;
  readonly draining: boolean;
  /** The host key was revoked, or its account may no longer provide nodes. */
  readonly refused: boolean;
}

const RESTORED =
  'The node has seen newer wishes than this database knows: the database was probably restored from a backup. ' +
  'Nothing is stopped or removed on the node until an operator confirms.';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

type Opened = { session: Omit<NodeSession, 'publicKey'> } | { refusal: AgentRefusal };

/** Lets agents in: identity, fencing, clones, what the node is made of, and restored databases. */
@Injectable()
export class NodeSessions {
  constructor(
    @Inject(GATEWAY_CONFIG) private readonly config: GatewayConfig,
    private readonly db: Database,
    private readonly clock: Clock,
    private readonly audit: Audit,
    private readonly outbox: Outbox,
    private readonly bus: Bus,
    private readonly logger: Logger,
    private readonly nodes: NodesService,
    private readonly offers: OffersService,
  ) {}

  /**
   * Opens a session: the first hello under a host key enrols its node, each later one must come from the same key pair.
   * All in one transaction, after which every older session of the node is fenced. Throws an AgentRefusal.
   */
  async open(request: { hostKeyId: string; nonce: string; hello: Hello }): Promise<NodeSession> {
    const { hello } = request;
    const key = readNodeKey(hello.public_key);
    if (!key || !isSignedHello(hello, request.nonce, key)) {
      throw new AgentRefusal('agent.signature_invalid', 'The hello is not signed by the node key that it names.');
    }
    const opened = await this.db.transaction((tx) => this.#open(tx, request.hostKeyId, key, hello));
    // Outside the transaction, which has to commit the suspicion of a clone.
    if ('refusal' in opened) throw opened.refusal;
    return { ...opened.session, publicKey: key.key };
  }

  /** Revisions and epochs of connected nodes, in one statement. A node that is missing in the answer does not exist. */
  async pulses(sessions: readonly { nodeId: string; hostKeyId: string }[]): Promise<NodePulse[]> {
    if (sessions.length === 0) return [];
    const rows = await this.db.query<Omit<NodePulse, 'rev'> & { rev: bigint }>(
      `SELECT n."id" AS "nodeId", n."sessionEpoch", n."rev", n."draining",
              (k."revokedAt" IS NOT NULL OR u."disabledAt" IS NOT NULL OR u."role" = 'RENT') AS "refused"
         FROM unnest($1::uuid[], $2::uuid[]) AS s(node_id, host_key_id)
         JOIN "HostNode" n ON n."id" = s.node_id
         JOIN "HostKey" k ON k."id" = s.host_key_id
         JOIN "User" u ON u."id" = k."userId"`,
      [sessions.map((session) => session.nodeId), sessions.map((session) => session.hostKeyId)],
    );
    return rows.map((row) => ({ ...row, rev: Number(row.rev) }));
  }

  async #open(tx: Tx, hostKeyId: string, key: NodeKey, hello: Hello): Promise<Opened> {
    const now = this.clock.now();
    const hostKey = await lockHostKey(tx, hostKeyId);
    const bound = hostKey.nodeId
      ? { nodeId: hostKey.nodeId, enrolled: false }
      : await bindNode(tx, hostKey, key.text, hello);
    const seen = hello.gens.filter((item) => UUID.test(item.placement_id)).map(toGeneration);
    const node = await lockNode(tx, bound.nodeId, seen, hello);
    if (node.publicKey !== key.text) {
      throw new AgentRefusal(
        'agent.identity_mismatch',
        'This host key belongs to another node. Make one for each node.',
      );
    }
    if (isCloneSuspected(node, hello.boot_id, now, this.config.cloneSilenceMs)) {
      return { refusal: await this.#flagClone(tx, node, hello, now) };
    }
    if (bound.enrolled) await this.#noteEnrolled(tx, hostKey, node.id);
    await tx.query(`UPDATE "HostKey" SET "lastUsedAt" = $2 WHERE "id" = $1`, [hostKeyId, now]);
    const { rev, restored } = await this.#overtake(tx, node, seen, hello);
    const gpuDoubled = node.sameSpecs ? false : await this.#writeInventory(tx, node, hello);
    const freezeReason = restored ? RESTORED : null;
    const started = await startSession(tx, node.id, { hello, now, rev, freezeReason, gpuDoubled });
    if (restored) await this.nodes.noteFrozen(tx, node, RESTORED);
    await (node.sameSpecs ? this.offers.refreshAvailability(tx, [node.id]) : this.offers.projectNode(tx, node.id));
    const { sessionEpoch } = started;
    tx.afterCommit(() => {
      this.bus.publish('node.session_started', { nodeId: node.id, sessionEpoch });
      this.bus.publish('node.health_changed', { nodeId: node.id, status: 'online' });
    });
    const { session_id: sessionId, boot_id: bootId } = hello;
    return { session: { nodeId: node.id, hostKeyId, sessionId, bootId, ...started, rev: Number(rev) } };
  }

  /** R6: lifts revision and generations above what the node has seen. */
  async #overtake(tx: Tx, node: LockedNode, seen: readonly PlacementGeneration[], hello: Hello) {
    const gens = await knownGens(
      tx,
      node.id,
      seen.map((placement) => placement.placementId),
    );
    const raise = raiseAfterRestore({ rev: node.rev, gens }, { rev: BigInt(hello.rev_applied), gens: seen });
    if (!raise) return { rev: node.rev, restored: false };
    await raiseGens(tx, raise.placements, raise.rev);
    this.logger.warn('node.database_restored', {
      nodeId: node.id,
      rev: String(raise.rev),
      raised: raise.placements.length,
    });
    return { rev: raise.rev, restored: true };
  }

  async #writeInventory(tx: Tx, node: LockedNode, hello: Hello): Promise<boolean> {
    await writeCapacity(tx, node.id, hello.specs);
    const doubled = await writeGpus(tx, node.id, hello.specs);
    if (doubled.length === 0) return false;
    await this.#noteSuspicion(tx, node, { gpuUuids: doubled });
    return true;
  }

  async #flagClone(tx: Tx, node: LockedNode, hello: Hello, now: Date): Promise<AgentRefusal> {
    await tx.query(`UPDATE "HostNode" SET "cloneSuspectedAt" = $2 WHERE "id" = $1`, [node.id, now]);
    await this.offers.refreshAvailability(tx, [node.id]);
    await this.#noteSuspicion(tx, node, { bootId: hello.boot_id });
    return new AgentRefusal(
      'agent.clone_suspected',
      'Another machine answers under the identity of this node. An identity belongs to one machine: enrol this one anew.',
    );
  }

  async #noteSuspicion(tx: Tx, node: LockedNode, data: Record<string, unknown>): Promise<void> {
    this.logger.warn('node.clone_suspected', { nodeId: node.id, ...data });
    await this.audit.write(tx, {
      actorId: null,
      accountId: node.ownerId,
      action: 'node.clone_suspected',
      subjectType: 'HostNode',
      subjectId: node.id,
      data,
    });
    await this.outbox.append(tx, [{ accountId: node.ownerId, type: 'node.clone_suspected', subjectId: node.id, data }]);
  }

  async #noteEnrolled(tx: Tx, hostKey: LockedHostKey, nodeId: string): Promise<void> {
    await this.audit.write(tx, {
      actorId: hostKey.createdById,
      accountId: hostKey.userId,
      action: 'node.enrol',
      subjectType: 'HostNode',
      subjectId: nodeId,
      data: { hostKeyId: hostKey.id },
    });
    await this.outbox.append(tx, [{ accountId: hostKey.userId, type: 'node.enrolled', subjectId: nodeId, data: {} }]);
  }
}

function toGeneration(item: Hello['gens'][number]): PlacementGeneration {
  return { placementId: item.placement_id.toLowerCase(), gen: BigInt(item.gen) };
}
