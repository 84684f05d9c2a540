import type { Hello } from '@dcompute/shared-types';
import type { Tx } from '../../infra/index.js';
import { AgentRefusal } from './agent-refusal.js';
import { DEFAULT_PRICING } from './default-pricing.js';
import { type HostKeyHolder, assertUsable } from './host-keys.service.js';
import type { PlacementGeneration } from './restored-database.js';

/** A host key as the opening of a session needs it; its row is locked. */
export interface LockedHostKey {
  readonly id: string;
  readonly userId: string;
  readonly createdById: string;
  readonly nodeId: string | null;
}

/** A node as the opening of a session finds it; its row is locked. */
export interface LockedNode {
  readonly id: string;
  readonly ownerId: string;
  readonly publicKey: string;
  readonly bootId: string | null;
  readonly lastSeenAt: Date | null;
  readonly rev: bigint;
  readonly frozen: boolean;
  readonly sameSpecs: boolean;
}

/** Locks a host key and throws an AgentRefusal when it may not be used (any more). */
export async function lockHostKey(tx: Tx, hostKeyId: string): Promise<LockedHostKey> {
  const [key] = await tx.query<LockedHostKey & HostKeyHolder>(
    `SELECT k."id", k."userId", k."createdById", k."nodeId", k."revokedAt", u."role", u."disabledAt"
       FROM "HostKey" k JOIN "User" u ON u."id" = k."userId" WHERE k."id" = $1 FOR NO KEY UPDATE OF k`,
    [hostKeyId],
  );
  if (!key) throw new AgentRefusal('agent.host_key_invalid', 'This host key does not exist.');
  assertUsable(key);
  return key;
}

/**
 * Binds a host key to the node of a public key. The node is made at its first sight; a node that its owner gave a new host
 * key stays the same node. Throws an AgentRefusal when the public key is another account's.
 */
export async function bindNode(
  tx: Tx,
  key: LockedHostKey,
  publicKey: string,
  hello: Hello,
): Promise<{ nodeId: string; enrolled: boolean }> {
  const [created] = await tx.query<{ id: string }>(
    `INSERT INTO "HostNode" ("ownerId", "name", "specs", "pricingConfig", "publicKey") VALUES ($1, $2, '{}', $3, $4)
     ON CONFLICT ("publicKey") DO NOTHING RETURNING "id"`,
    [key.userId, nameOf(hello), JSON.stringify(DEFAULT_PRICING), publicKey],
  );
  if (created) {
    await tx.query(
      `INSERT INTO "NodeCapacity" ("nodeId", "totalCpuMillicores", "totalRamMib", "totalDiskGib", "freeCpuMillicores",
           "freeRamMib", "freeDiskGib") VALUES ($1, 0, 0, 0, 0, 0, 0)`,
      [created.id],
    );
  }
  const nodeId = created?.id ?? (await ownNodeOf(tx, key, publicKey));
  await tx.query(`UPDATE "HostKey" SET "nodeId" = $2 WHERE "id" = $1`, [key.id, nodeId]);
  return { nodeId, enrolled: created !== undefined };
}

async function ownNodeOf(tx: Tx, key: LockedHostKey, publicKey: string): Promise<string> {
  const [known] = await tx.query<{ id: string }>(
    `SELECT "id" FROM "HostNode" WHERE "publicKey" = $1 AND "ownerId" = $2`,
    [publicKey, key.userId],
  );
  if (known) return known.id;
  throw new AgentRefusal('agent.identity_mismatch', 'This node identity belongs to another account.');
}

function nameOf(hello: Hello): string {
  return hello.node_name ?? hello.specs.hostname ?? 'node';
}

/**
 * Locks all that the opening of a session may change, in the common order: rentals (only those whose placements are older
 * here than on the node), capacity, node.
 */
export async function lockNode(
  tx: Tx,
  nodeId: string,
  seen: readonly PlacementGeneration[],
  hello: Hello,
): Promise<LockedNode> {
  await tx.query(
    `SELECT FROM "Rental" WHERE "id" IN (
       SELECT p."rentalId" FROM "Placement" p JOIN unnest($2::uuid[], $3::bigint[]) AS s(id, gen) ON s.id = p."id"
        WHERE p."nodeId" = $1 AND p."gen" < s.gen)
      ORDER BY "id" FOR UPDATE`,
    [nodeId, seen.map((placement) => placement.placementId), seen.map((placement) => placement.gen)],
  );
  await tx.query(`SELECT FROM "NodeCapacity" WHERE "nodeId" = $1 FOR UPDATE`, [nodeId]);
  const [node] = await tx.query<LockedNode>(
    `SELECT "id", "ownerId", "publicKey", "bootId", "lastSeenAt", "rev", ("frozenAt" IS NOT NULL) AS "frozen",
            ("specs" = $2::jsonb) AS "sameSpecs"
       FROM "HostNode" WHERE "id" = $1 FOR NO KEY UPDATE`,
    [nodeId, JSON.stringify(hello.specs)],
  );
  if (!node) throw new Error(`node ${nodeId} does not exist`);
  return node;
}

/** The generations that the database knows of these placements of a node. */
export async function knownGens(tx: Tx, nodeId: string, placementIds: readonly string[]): Promise<Map<string, bigint>> {
  if (placementIds.length === 0) return new Map();
  const rows = await tx.query<{ id: string; gen: bigint }>(
    `SELECT "id", "gen" FROM "Placement" WHERE "nodeId" = $1 AND "id" = ANY ($2::uuid[])`,
    [nodeId, placementIds],
  );
  return new Map(rows.map((row) => [row.id, row.gen]));
}

/** Lifts placements above what their node has seen. What they should be is thereby said anew: `desiredGen` rises as well. */
export async function raiseGens(tx: Tx, raised: readonly PlacementGeneration[], rev: bigint): Promise<void> {
  if (raised.length === 0) return;
  await tx.query(
    `UPDATE "Placement" p SET "gen" = r.gen, "desiredGen" = r.gen, "nodeRev" = $3
       FROM unnest($1::uuid[], $2::bigint[]) AS r(id, gen) WHERE p."id" = r.id AND p."gen" < r.gen`,
    [raised.map((placement) => placement.placementId), raised.map((placement) => placement.gen), rev],
  );
}

/** A healthy GPU of node $1 that another node has as well. */
const SHARED_GPU = `
  SELECT FROM "NodeGpu" here JOIN "NodeGpu" elsewhere ON elsewhere."uuid" = here."uuid" AND elsewhere."nodeId" <> here."nodeId"
   WHERE here."nodeId" = $1 AND here."healthy" AND elsewhere."healthy"`;

/** What a new session writes to its node's row. */
export interface SessionStart {
  readonly hello: Hello;
  readonly now: Date;
  readonly rev: bigint;
  /** Null leaves an existing freeze as it is. */
  readonly freezeReason: string | null;
  readonly gpuDoubled: boolean;
}

/**
 * Takes the node over for a new session: the epoch rises here and nowhere else (R8). A suspicion of a clone ends with a
 * change of boot id that was let in: the first machine had gone silent, so it was a reboot. One for the sake of a GPU that
 * another node has as well does not end that way.
 */
export async function startSession(
  tx: Tx,
  nodeId: string,
  start: SessionStart,
): Promise<{ sessionEpoch: number; frozen: boolean; draining: boolean }> {
  const { hello, now } = start;
  const [row] = await tx.query<{ sessionEpoch: number; frozen: boolean; draining: boolean }>(
    `UPDATE "HostNode"
        SET "sessionEpoch" = "sessionEpoch" + 1, "sessionId" = $2, "specs" = $4::jsonb, "agentVersion" = $5,
            "protocolVersion" = $6, "status" = 'online', "connectedAt" = $7, "lastSeenAt" = $7, "rev" = $8,
            "rentableByOwnerOnly" = $9, "frozenAt" = CASE WHEN $10::text IS NULL THEN "frozenAt" ELSE $7 END,
            "frozenReason" = coalesce($10, "frozenReason"),
            "cloneSuspectedAt" = CASE WHEN $11 THEN $7
              WHEN "bootId" = $3 OR EXISTS (${SHARED_GPU}) THEN "cloneSuspectedAt" END, "bootId" = $3
      WHERE "id" = $1
      RETURNING "sessionEpoch", ("frozenAt" IS NOT NULL) AS "frozen", "draining"`,
    [
      nodeId,
      hello.session_id,
      hello.boot_id,
      JSON.stringify(hello.specs),
      hello.agent_version,
      hello.protocol_version,
      now,
      start.rev,
      !hello.specs.firewall,
      start.freezeReason,
      start.gpuDoubled,
    ],
  );
  if (!row) throw new Error(`node ${nodeId} does not exist`);
  return row;
}
