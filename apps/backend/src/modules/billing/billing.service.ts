import { Inject, Injectable } from '@nestjs/common';
import { MONEY_CONFIG, type MoneyConfig } from '../../config/index.js';
import { Bus, Clock, Database, Logger, type Tx } from '../../infra/index.js';
import { LedgerService, isInsufficientBalance } from '../ledger/index.js';
import { RentalLife } from '../rentals/index.js';
import { type Bill, type BillingTerms, billRunning, settleStopped } from './bills.js';
import { billableTimes } from './billable-time.js';
import { lockResumed, lockRunning, lockUnsettled, readAccounts } from './rental-accounts.js';
import { writeBills } from './write-bills.js';

/** Rentals of one transaction: large enough to spread its cost, small enough that nobody waits long for a lock. */
const BATCH = 500;
/** A balance that was spent between its reading and its posting: the batch reads again, so often at most. */
const MAX_ATTEMPTS = 5;
/** More rentals than this that cannot be billed are no accident of theirs: the tick fails. */
const MAX_LEFT_OUT = 10;
/** Below every id. */
const NO_ID = '00000000-0000-0000-0000-000000000000';

/** Chooses and locks the next batch after an id. */
type Lock = (tx: Tx, afterId: string, limit: number) => Promise<string[]>;
/** Bills a locked batch; returns what to do after the commit. */
type Work = (tx: Tx, rentalIds: string[]) => Promise<() => void>;

/** Charges rentals for proven time, keeps their holds filled, and settles those that have stopped. */
@Injectable()
export class BillingService {
  readonly #terms: BillingTerms;

  constructor(
    @Inject(MONEY_CONFIG) private readonly config: MoneyConfig,
    private readonly db: Database,
    private readonly clock: Clock,
    private readonly bus: Bus,
    private readonly logger: Logger,
    private readonly ledger: LedgerService,
    private readonly life: RentalLife,
  ) {
    const tickMs = BigInt(config.tickMs);
    // The next tick may be missed and its evidence be late; more than half of a hold is never kept back.
    this.#terms = { holdMs: config.holdMs, tickMs, marginMs: 2n * tickMs + BigInt(config.settleGraceMs) };
  }

  /**
   * Charges every running rental for its new billable time, fills its hold up, and stops those whose money ends. Two ticks
   * at once share the work: a rental is locked while it is billed.
   */
  async tick(): Promise<void> {
    const stops: Bill[] = [];
    for (const lock of [lockRunning, lockResumed]) {
      await this.#inBatches(lock, async (tx, rentalIds) => {
        const bills = await this.#bill(tx, rentalIds, false);
        return () => void stops.push(...bills.filter((bill) => bill.stop !== null));
      });
    }
    for (const { account, stop } of stops) {
      // Decided again by the next tick, should it fail now.
      if (stop) await this.#stop(account.rentalId, stop);
    }
  }

  /** Makes the last charge of rentals that stopped long enough ago, and releases what is left of their holds. */
  async settle(): Promise<void> {
    const stoppedBefore = new Date(this.clock.nowMs() - this.config.settleGraceMs);
    await this.#inBatches(
      (tx, afterId, limit) => lockUnsettled(tx, stoppedBefore, afterId, limit),
      async (tx, rentalIds) => {
        await this.#bill(tx, rentalIds, true);
        return () => {};
      },
    );
  }

  /**
   * Batch after batch, each in a transaction of its own. A rental that cannot be billed is found by going on one by one,
   * and left out: the others are billed all the same.
   */
  async #inBatches(lock: Lock, work: Work): Promise<void> {
    let [afterId, limit, leftOut] = [NO_ID, BATCH, 0];
    for (;;) {
      const { rentalIds, error } = await this.#workOnBatch((tx) => lock(tx, afterId, limit), work);
      if (error !== undefined && limit > 1) {
        limit = 1;
        continue;
      }
      const last = rentalIds.at(-1);
      if (last === undefined || rentalIds.length < limit) return;
      if (error !== undefined) {
        this.logger.error('billing.rental_failed', error, { rentalId: last });
        if ((leftOut += 1) > MAX_LEFT_OUT) throw error;
        limit = BATCH;
      }
      afterId = last;
    }
  }

  /** Throws only what kept it from choosing the batch: any other error is about the rentals that it returns. */
  async #workOnBatch(lock: (tx: Tx) => Promise<string[]>, work: Work): Promise<{ rentalIds: string[]; error?: Error }> {
    let rentalIds: string[] = [];
    try {
      await this.#tryAgain(async (tx) => {
        rentalIds = [];
        rentalIds = await lock(tx);
        if (rentalIds.length > 0) tx.afterCommit(await work(tx, rentalIds));
      });
      return { rentalIds };
    } catch (error) {
      if (rentalIds.length === 0 || !(error instanceof Error)) throw error;
      return { rentalIds, error };
    }
  }

  async #tryAgain(work: (tx: Tx) => Promise<void>): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.db.transaction(work);
        return;
      } catch (error) {
        if (attempt >= MAX_ATTEMPTS || !isInsufficientBalance(error)) throw error;
      }
    }
  }

  async #bill(tx: Tx, rentalIds: readonly string[], settle: boolean): Promise<Bill[]> {
    const now = this.clock.now();
    const accounts = await readAccounts(tx, rentalIds, now);
    const times = await billableTimes(tx, rentalIds, now);
    const bills = settle ? settleStopped(accounts, times) : billRunning(accounts, times, this.#terms);
    await writeBills(tx, this.ledger, bills, { feeBasisPoints: this.config.platformFeeBasisPoints, now, settle });
    if (settle) {
      const renters = new Set(accounts.map((account) => account.renterId));
      tx.afterCommit(() => renters.forEach((accountId) => this.bus.publish('outbox.appended', { accountId })));
    }
    return bills;
  }

  async #stop(rentalId: string, reason: NonNullable<Bill['stop']>): Promise<void> {
    await this.life
      .stop(rentalId, reason)
      .catch((error: unknown) => this.logger.error('billing.stop_failed', error, { rentalId, reason }));
  }
}
