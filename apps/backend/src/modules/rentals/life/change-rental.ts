import type { UpdateRentalRequest } from '@dcompute/shared-types';
import { AppError, type Tx } from '../../../infra/index.js';
import type { RentalPorts } from '../rental-ports.js';
import { isEnded } from './rental-changes.js';
import type { RentalRecord } from './rental-record.js';

type ChangePorts = Pick<RentalPorts, 'nodes' | 'bus'>;

/**
 * Changes what may change without a new container, in the transaction that holds the rental's lock, and returns the names
 * of the fields that did. Keys and TTL are the placement's: they raise its gen and leave what is wanted of it. Throws
 * `rental.invalid_state` for a rental that has ended or is about to be deleted.
 */
export async function changeRental(
  tx: Tx,
  ports: ChangePorts,
  rental: RentalRecord,
  change: UpdateRentalRequest,
  now: Date,
): Promise<string[]> {
  if (isEnded(rental.status) || rental.desired === 'deleted') {
    throw new AppError('rental.invalid_state', { detail: 'Not possible: the rental has ended.' });
  }
  const fields = Object.entries(change).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  if (fields.length === 0) return [];
  const { label, sshPublicKeys, ttlSeconds } = change;
  const ttlExpiresAt = typeof ttlSeconds === 'number' ? new Date(now.getTime() + ttlSeconds * 1000) : null;
  await tx.query(
    `WITH noted AS (
       INSERT INTO "RentalEvent" ("rentalId", "type", "fromStatus", "toStatus", "data", "createdAt")
       SELECT $1, 'changed', "status", "status", jsonb_build_object('fields', $8::text[]), $9 FROM "Rental" WHERE "id" = $1
     ), told AS (
       INSERT INTO "OutboxEvent" ("accountId", "type", "subjectId", "data", "createdAt")
       VALUES ($10, 'rental.changed', $1::text, jsonb_build_object('fields', $8::text[]), $9)
     )
     UPDATE "Rental"
        SET "label" = CASE WHEN $2 THEN $3 ELSE "label" END,
            "sshAuthorizedKeys" = CASE WHEN $4 THEN $5::text[] ELSE "sshAuthorizedKeys" END,
            "ttlExpiresAt" = CASE WHEN $6 THEN $7::timestamptz ELSE "ttlExpiresAt" END,
            "updatedAt" = $9
      WHERE "id" = $1`,
    [
      rental.id,
      label !== undefined,
      label ?? null,
      sshPublicKeys !== undefined,
      sshPublicKeys ?? null,
      ttlSeconds !== undefined,
      ttlExpiresAt,
      fields,
      now,
      rental.renterId,
    ],
  );
  if (sshPublicKeys !== undefined || ttlSeconds !== undefined) await raiseGen(tx, ports, rental);
  tx.afterCommit(() => ports.bus.publish('outbox.appended', { accountId: rental.renterId }));
  return fields;
}

async function raiseGen(tx: Tx, ports: ChangePorts, rental: RentalRecord): Promise<void> {
  const rev = await ports.nodes.bumpRev(tx, rental.nodeId);
  await tx.query(`UPDATE "Placement" SET "gen" = "gen" + 1, "nodeRev" = $2 WHERE "id" = $1`, [rental.placementId, rev]);
  tx.afterCommit(() => ports.bus.publish('node.changed', { nodeId: rental.nodeId }));
}
