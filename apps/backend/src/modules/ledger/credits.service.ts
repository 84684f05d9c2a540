import { Injectable } from '@nestjs/common';
import {
  type GrantCreditRequest,
  type GrantedCredit,
  MICROS_PER_UNIT,
  formatAmountMicros,
  parseAmountMicros,
} from '@dcompute/shared-types';
import { AppError, Audit, Ids, Outbox, type Principal, type Tx, assertScope } from '../../infra/index.js';
import { IdempotencyService } from '../idempotency/index.js';
import { AccountsService } from '../identity/index.js';
import { LedgerService } from './ledger.service.js';
import { creditGrant } from './postings.js';

/** One grant is at most a million dollars: a slip of the keyboard should not be a fortune. */
const MAX_GRANT_MICROS = 1_000_000n * MICROS_PER_UNIT;

/** Credit that operators give: how money comes in without payments. */
@Injectable()
export class CreditsService {
  constructor(
    private readonly accounts: AccountsService,
    private readonly idempotency: IdempotencyService,
    private readonly ledger: LedgerService,
    private readonly audit: Audit,
    private readonly outbox: Outbox,
    private readonly ids: Ids,
  ) {}

  /** For operators. Throws ledger.invalid_amount, resource.not_found and what IdempotencyService throws. */
  async grant(principal: Principal, key: string | undefined, request: GrantCreditRequest): Promise<GrantedCredit> {
    assertScope(principal, 'operator');
    const amountMicros = parseAmountMicros(request.amount);
    if (amountMicros <= 0n || amountMicros > MAX_GRANT_MICROS) {
      throw new AppError('ledger.invalid_amount', {
        detail: `A grant is above zero and at most ${formatAmountMicros(MAX_GRANT_MICROS)} dollars.`,
      });
    }
    const scope = { accountId: principal.accountId, route: 'POST /api/v1/operator/credits', key, body: request };
    return await this.idempotency.run(scope, async (tx) => {
      const userId = await this.#recipient(tx, request);
      return await this.#post(tx, principal, { userId, amountMicros, reason: request.reason });
    });
  }

  async #recipient(tx: Tx, { userId, email }: GrantCreditRequest): Promise<string> {
    const account =
      userId === undefined
        ? await this.accounts.findByEmail(tx, email ?? '')
        : await this.accounts.findById(tx, userId);
    if (!account)
      throw new AppError('resource.not_found', { detail: 'There is no account with this id or e-mail address.' });
    return account.id;
  }

  async #post(
    tx: Tx,
    principal: Principal,
    grant: { userId: string; amountMicros: bigint; reason: string },
  ): Promise<GrantedCredit> {
    const idempotencyKey = `credit_grant:${this.ids.uuid()}`;
    await this.ledger.post(tx, [creditGrant({ ...grant, idempotencyKey, operatorId: principal.personId })]);
    const entryId = await this.ledger.entryIdOf(tx, idempotencyKey);
    const granted = {
      userId: grant.userId,
      entryId,
      amount: formatAmountMicros(grant.amountMicros),
      reason: grant.reason,
    };
    await this.audit.write(tx, {
      actorId: principal.personId,
      accountId: grant.userId,
      action: 'credit.grant',
      subjectType: 'LedgerEntry',
      subjectId: entryId,
      data: granted,
      ip: principal.ip,
    });
    await this.outbox.append(tx, [
      { accountId: grant.userId, type: 'credit.granted', subjectId: entryId, data: { amount: granted.amount } },
    ]);
    return granted;
  }
}
