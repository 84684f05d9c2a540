import { Inject, Injectable } from '@nestjs/common';
import type { RentalEndReason } from '@dcompute/shared-types';
import { AppError, Clock, Database, type Tx } from '../../../infra/index.js';
import { RENTAL_PORTS, type RentalPorts } from '../rental-ports.js';
import { type TransitionContext, applyTransition } from './apply-transition.js';
import { type RentalRecord, lockRental } from './rental-record.js';
import { type RentalStateEvent, nextRentalStep } from './rental-state.js';

/** What a decision of the platform itself is: the event, and the proof that it rests on. */
export interface PlatformDecision {
  readonly event: RentalStateEvent;
  readonly readyAt?: Date;
}

/** Takes rentals through their life: every change of a rental's state in the platform goes through here. */
@Injectable()
export class RentalLife {
  constructor(
    private readonly db: Database,
    private readonly clock: Clock,
    @Inject(RENTAL_PORTS) private readonly ports: RentalPorts,
  ) {}

  /**
   * Takes a rental one step on, in the transaction that holds its lock. Returns false when the event changes nothing.
   * Throws `rental.invalid_state` when the rental's state does not allow it.
   */
  async advance(tx: Tx, rental: RentalRecord, event: RentalStateEvent, context: TransitionContext): Promise<boolean> {
    const step = nextRentalStep(rental, event);
    if (step.kind === 'unchanged') return false;
    if (step.kind === 'refused') throw new AppError('rental.invalid_state', { detail: `Not possible: ${step.why}.` });
    await applyTransition(tx, this.ports, rental, event, step, context);
    return true;
  }

  /**
   * A decision of the platform about one rental, in a transaction of its own. `decide` sees the rental under its lock and
   * returns null when there is nothing to do any more. A rental that something else works on at this moment is left for
   * the next time. Returns whether the rental changed.
   */
  async decide(
    rentalId: string,
    decide: (rental: RentalRecord, now: Date) => PlatformDecision | null,
  ): Promise<boolean> {
    return await this.db.transaction(async (tx) => {
      const rental = await lockRental(tx, rentalId, { skipLocked: true });
      if (!rental) return false;
      const now = this.clock.now();
      const decision = decide(rental, now);
      if (!decision || nextRentalStep(rental, decision.event).kind !== 'transition') return false;
      const { event, ...proof } = decision;
      return await this.advance(tx, rental, event, { ...proof, now, actorId: null });
    });
  }

  /** Stops a rental for a reason of the platform; its disk is kept. Returns whether that changed anything. */
  async stop(rentalId: string, reason: RentalEndReason): Promise<boolean> {
    return await this.decide(rentalId, () => ({ event: { type: 'stop_decided', reason } }));
  }
}
