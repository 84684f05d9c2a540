import { AppError, type Tx } from '../../../infra/index.js';
import { firstHoldMicros } from '../create/first-hold.js';
import type { RentalRecord } from './rental-record.js';
import { nextRentalStep } from './rental-state.js';

interface StartFacts {
  readonly reachable: boolean;
  readonly draining: boolean;
  readonly balance: string;
  readonly held: string;
}

/**
 * Checks what a start of a stopped rental needs beside capacity, and returns how much has to go on hold, in micro-dollars.
 * Nothing is written. A start that changes nothing, or that the rental's state refuses, is not looked at. Throws
 * node.not_connected, rental.invalid_state, rental.insufficient_funds or rental.money_cap_too_low.
 */
export async function prepareStart(tx: Tx, rental: RentalRecord, holdMs: bigint): Promise<bigint> {
  if (nextRentalStep(rental, { type: 'start_requested' }).kind !== 'transition') return 0n;
  const [facts] = await tx.query<StartFacts>(
    `SELECT (n."status" IN ('online', 'busy', 'maintenance') AND n."evictedAt" IS NULL) AS "reachable",
            (n."draining" OR n."frozenAt" IS NOT NULL) AS "draining", u."balance", coalesce(h."amount", 0) AS "held"
       FROM "Rental" r
       JOIN "HostNode" n ON n."id" = r."nodeId"
       JOIN "User" u ON u."id" = r."renterId"
       LEFT JOIN "Hold" h ON h."rentalId" = r."id"
      WHERE r."id" = $1`,
    [rental.id],
  );
  if (!facts?.reachable) {
    throw new AppError('node.not_connected', {
      detail: 'The node of this rental is away. Its disk is kept: try again later.',
    });
  }
  if (facts.draining) {
    throw new AppError('rental.invalid_state', {
      detail: 'The node of this rental starts nothing at the moment. Try again later.',
    });
  }
  const { costPerHour, moneyCap, chargedTotal } = rental;
  return firstHoldMicros({ totalPerHour: costPerHour, moneyCap, chargedTotal, ...facts }, holdMs);
}
