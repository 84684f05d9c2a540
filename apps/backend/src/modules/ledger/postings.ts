import type { LedgerAccountKind, TransactionType } from '@dcompute/shared-types';
import { splitCharge } from './fee.js';

/** The reserved account that owns every platform and clearing ledger account. */
export const SYSTEM_USER_ID = '00000000-0000-4000-8000-000000000001';

/** Platform accounts are split into this many rows, so that no single row is locked by every charge. */
const PLATFORM_SHARDS = 16;

/** One side of an entry. `amountMicros` is above zero. */
interface Posting {
  readonly userId: string;
  readonly kind: LedgerAccountKind;
  readonly shard: number;
  readonly type: TransactionType;
  readonly amountMicros: bigint;
}

/** A balanced group of postings that is written once under its idempotency key. */
export interface LedgerEntry {
  readonly idempotencyKey: string;
  readonly kind: 'credit_grant' | 'hold' | 'hold_extend' | 'hold_release' | 'usage';
  /** A sentence for people, where one was given. */
  readonly reason: string | null;
  /** The rental or payment that it belongs to. */
  readonly referenceId: string | null;
  readonly createdById: string | null;
  readonly postings: readonly Posting[];
}

/** An operator gives an account credit: promotions pay for it. */
export function creditGrant(grant: {
  idempotencyKey: string;
  userId: string;
  amountMicros: bigint;
  reason: string;
  operatorId: string;
}): LedgerEntry {
  return {
    idempotencyKey: grant.idempotencyKey,
    kind: 'credit_grant',
    reason: grant.reason,
    referenceId: null,
    createdById: grant.operatorId,
    postings: [
      platform('platform_promotions', shardOf(grant.userId), 'DEBIT', grant.amountMicros),
      account(grant.userId, 'renter_available', 'CREDIT', grant.amountMicros),
    ],
  };
}

/** What a hold entry moves: from available to held, or back (`hold_release`). */
export interface HoldMove {
  readonly idempotencyKey: string;
  readonly kind: 'hold' | 'hold_extend' | 'hold_release';
  readonly rentalId: string;
  readonly renterId: string;
  readonly amountMicros: bigint;
}

/** The key of the n-th move of a rental's hold. */
export function holdKey(kind: HoldMove['kind'], rentalId: string, n: number): string {
  return `${kind}:${rentalId}:${n}`;
}

export function holdMove(move: HoldMove): LedgerEntry {
  const release = move.kind === 'hold_release';
  return {
    idempotencyKey: move.idempotencyKey,
    kind: move.kind,
    reason: null,
    referenceId: move.rentalId,
    createdById: null,
    postings: [
      account(move.renterId, release ? 'renter_held' : 'renter_available', 'DEBIT', move.amountMicros),
      account(move.renterId, release ? 'renter_available' : 'renter_held', 'CREDIT', move.amountMicros),
    ],
  };
}

/** The n-th charge of a rental: the renter's hold pays host and platform, exactly. */
export function usageCharge(charge: {
  rentalId: string;
  n: number;
  renterId: string;
  hostId: string;
  chargeMicros: bigint;
  feeBasisPoints: number;
}): LedgerEntry {
  const { hostMicros, feeMicros } = splitCharge(charge.chargeMicros, charge.feeBasisPoints);
  const postings = [
    account(charge.renterId, 'renter_held', 'DEBIT', charge.chargeMicros),
    account(charge.hostId, 'host_pending', 'CREDIT', hostMicros),
    platform('platform_fee', shardOf(charge.rentalId), 'CREDIT', feeMicros),
  ];
  return {
    idempotencyKey: `usage:${charge.rentalId}:${charge.n}`,
    kind: 'usage',
    reason: null,
    referenceId: charge.rentalId,
    createdById: null,
    postings: postings.filter((posting) => posting.amountMicros > 0n),
  };
}

/** Spreads ids evenly over the shards of a platform account. Ids are UUIDs. */
export function shardOf(id: string): number {
  return Number.parseInt(id.slice(-2), 16) % PLATFORM_SHARDS;
}

function account(userId: string, kind: LedgerAccountKind, type: TransactionType, amountMicros: bigint): Posting {
  return { userId, kind, shard: 0, type, amountMicros };
}

function platform(kind: LedgerAccountKind, shard: number, type: TransactionType, amountMicros: bigint): Posting {
  return { userId: SYSTEM_USER_ID, kind, shard, type, amountMicros };
}
