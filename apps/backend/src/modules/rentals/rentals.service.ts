import { Inject, Injectable } from '@nestjs/common';
import type {
  CreateRentalRequest,
  PageQuery,
  Rental,
  RentalEventPage,
  RentalPage,
  RentalQuery,
  UpdateRentalRequest,
} from '@dcompute/shared-types';
import {
  AppError,
  Audit,
  CURSOR_PART,
  Clock,
  Database,
  type Principal,
  type Tx,
  assertRole,
  assertScope,
  decodeCursor,
  encodeCursor,
  notFound,
} from '../../infra/index.js';
import { IdempotencyService } from '../idempotency/index.js';
import { isInsufficientBalance } from '../ledger/index.js';
import { createRental } from './create/create-rental.js';
import { insufficientFunds } from './create/first-hold.js';
import { CapacityTakenError } from './life/apply-transition.js';
import { RentalLife } from './life/rental-life.js';
import { type RentalRecord, lockRental } from './life/rental-record.js';
import type { RentalStateEvent } from './life/rental-state.js';
import { changeRental } from './life/change-rental.js';
import { prepareStart } from './life/prepare-start.js';
import { RENTAL_PORTS, type RentalPorts } from './rental-ports.js';
import { findRental, listRentalEvents, listRentals } from './rentals.repository.js';

/** What renters do with rentals. Every method checks who may: a rental of somebody else does not exist for a stranger. */
@Injectable()
export class RentalsService {
  constructor(
    private readonly db: Database,
    private readonly clock: Clock,
    private readonly audit: Audit,
    private readonly idempotency: IdempotencyService,
    private readonly life: RentalLife,
    @Inject(RENTAL_PORTS) private readonly ports: RentalPorts,
  ) {}

  /**
   * Rents an offer, all or nothing; the same key gives the same rental. Throws offer.unavailable, rental.insufficient_funds,
   * rental.money_cap_too_low, rental.ssh_key_required, rental.no_port_free, rental.run_type_unsupported,
   * resource.not_found, and what `IdempotencyService.run` throws.
   */
  async create(principal: Principal, key: string | undefined, request: CreateRentalRequest): Promise<Rental> {
    assertMayRent(principal);
    const scope = { accountId: principal.accountId, route: 'POST /api/v1/rentals', key, body: request };
    return await this.idempotency
      .run(scope, async (tx) => {
        const rentalId = await createRental(tx, this.ports, principal, request, this.clock.now());
        return await this.#viewIn(tx, rentalId);
      })
      .catch(rethrowForPeople);
  }

  /** The acting account's rentals, newest first; an operator may ask for everybody's. */
  async list(principal: Principal, query: RentalQuery): Promise<RentalPage> {
    assertScope(principal, query.renter === 'me' ? 'read' : 'operator');
    const position = decodeCursor(query.cursor, [CURSOR_PART.moment, CURSOR_PART.uuid]);
    const [createdAt, id] = position ?? [];
    const after = createdAt !== undefined && id !== undefined ? { createdAt, id } : null;
    const filter = { ownerId: query.renter === 'me' ? principal.accountId : null, state: query.state };
    const items = await listRentals(this.db, filter, after, query.limit);
    const last = items.length === query.limit ? items.at(-1) : undefined;
    return { items, nextCursor: last ? encodeCursor([last.createdAt, last.id]) : null };
  }

  /** One rental of the account; an operator may look at anybody's. Throws resource.not_found. */
  async get(principal: Principal, rentalId: string): Promise<Rental> {
    assertScope(principal, 'read');
    const rental = await findRental(this.db, rentalId, readerOf(principal));
    if (!rental) throw notFound('rental');
    return rental;
  }

  /** What happened to a rental, oldest first; whoever may see the rental may see it. */
  async events(principal: Principal, rentalId: string, query: PageQuery): Promise<RentalEventPage> {
    await this.get(principal, rentalId);
    const [afterSeq = '0'] = decodeCursor(query.cursor, [CURSOR_PART.sequence]) ?? [];
    const { items, lastSeq } = await listRentalEvents(this.db, rentalId, { afterSeq, limit: query.limit });
    const more = items.length === query.limit && lastSeq !== null;
    return { items, nextCursor: more ? encodeCursor([String(lastSeq)]) : null };
  }

  /** Decides the stop: nothing after this moment is charged. Container, disk and address are kept. */
  async stop(principal: Principal, rentalId: string): Promise<Rental> {
    return await this.#advance(principal, rentalId, 'rental.stop', { type: 'stop_decided', reason: 'renter_stopped' });
  }

  /** Decides the end of a rental and of its disk. Always possible. */
  async delete(principal: Principal, rentalId: string): Promise<Rental> {
    const event = { type: 'delete_decided', reason: 'renter_deleted' } as const;
    return await this.#advance(principal, rentalId, 'rental.delete', event);
  }

  /**
   * Starts a stopped rental on its node, with its own GPUs, and puts the first minutes on hold again; all or nothing.
   * Throws rental.capacity_taken, rental.invalid_state, rental.insufficient_funds, rental.money_cap_too_low or
   * node.not_connected.
   */
  async start(principal: Principal, rentalId: string): Promise<Rental> {
    return await this.#advance(principal, rentalId, 'rental.start', { type: 'start_requested' });
  }

  /** Changes label, SSH keys or TTL. Keys and TTL reach the instance as a new gen; its container stays. */
  async update(principal: Principal, rentalId: string, change: UpdateRentalRequest): Promise<Rental> {
    return await this.#change(principal, rentalId, async (tx, rental) => {
      const changed = await changeRental(tx, this.ports, rental, change, this.clock.now());
      if (changed.length > 0) await this.#audit(tx, principal, rental, 'rental.update', { changed });
    });
  }

  async #advance(principal: Principal, rentalId: string, action: string, event: RentalStateEvent): Promise<Rental> {
    return await this.#change(principal, rentalId, async (tx, rental) => {
      const context = { now: this.clock.now(), actorId: principal.personId };
      const holdMicros = event.type === 'start_requested' ? await prepareStart(tx, rental, this.ports.holdMs) : 0n;
      if (!(await this.life.advance(tx, rental, event, context))) return;
      await this.#audit(tx, principal, rental, action, { from: rental.status });
      // Ledger accounts are locked after everything else (see `lockRental`).
      if (event.type !== 'start_requested') return;
      const move = { kind: 'hold', rentalId, renterId: rental.renterId, amountMicros: holdMicros } as const;
      await this.ports.ledger.moveHold(tx, move);
    });
  }

  /** A change of one's own rental, under its lock; returns the rental as it is after it. */
  async #change(
    principal: Principal,
    rentalId: string,
    change: (tx: Tx, rental: RentalRecord) => Promise<void>,
  ): Promise<Rental> {
    assertMayRent(principal);
    return await this.db
      .transaction(async (tx) => {
        const rental = await lockRental(tx, rentalId);
        if (rental?.renterId !== principal.accountId) throw notFound('rental');
        await change(tx, rental);
        return await this.#viewIn(tx, rentalId);
      })
      .catch(rethrowForPeople);
  }

  async #viewIn(tx: Tx, rentalId: string): Promise<Rental> {
    const rental = await findRental(tx, rentalId, null);
    if (!rental) throw new Error(`rental ${rentalId} is gone from its own transaction`);
    return rental;
  }

  async #audit(
    tx: Tx,
    principal: Principal,
    rental: RentalRecord,
    action: string,
    data: Record<string, unknown>,
  ): Promise<void> {
    await this.audit.write(tx, {
      actorId: principal.personId,
      accountId: principal.accountId,
      action,
      subjectType: 'Rental',
      subjectId: rental.id,
      data: { ...data, apiKeyId: principal.apiKeyId },
      ip: principal.ip,
    });
  }
}

function assertMayRent(principal: Principal): void {
  assertScope(principal, 'rentals:write');
  assertRole(principal.role, 'RENT');
}

/** Whose rentals a principal may read: null for anybody's. */
function readerOf(principal: Principal): string | null {
  return principal.isOperator && principal.scopes.includes('operator') ? null : principal.accountId;
}

/** Refusals that only the database could see, as the refusals that they are. */
function rethrowForPeople(error: unknown): never {
  if (error instanceof CapacityTakenError) {
    throw new AppError('rental.capacity_taken', {
      detail:
        'Someone else rented its GPUs, CPU or RAM meanwhile. The disk is kept: try again later, or rent another offer.',
      cause: error,
    });
  }
  if (isInsufficientBalance(error)) throw insufficientFunds(null);
  throw error;
}
