import { Body, Controller, Get, Headers, Post, Query } from '@nestjs/common';
import {
  GrantCreditRequest,
  GrantedCredit,
  LedgerCheck,
  OperatorTransactionQuery,
  TransactionPage,
} from '@dcompute/shared-types';
import { CurrentPrincipal, type Principal, RequireScope, Returns } from '../../infra/index.js';
import { CreditsService } from './credits.service.js';
import { LedgerService } from './ledger.service.js';

@Controller('api/v1/operator')
@RequireScope('operator')
export class OperatorLedgerController {
  constructor(
    private readonly ledger: LedgerService,
    private readonly credits: CreditsService,
  ) {}

  /** Gives an account credit, paid for by the platform's promotions. */
  @Post('credits')
  @Returns(GrantedCredit, 201)
  async grant(
    @CurrentPrincipal() principal: Principal,
    @Headers('idempotency-key') key: string | undefined,
    @Body({ schema: GrantCreditRequest }) request: GrantCreditRequest,
  ): Promise<GrantedCredit> {
    return await this.credits.grant(principal, key, request);
  }

  @Get('transactions')
  @Returns(TransactionPage)
  async transactions(
    @Query({ schema: OperatorTransactionQuery }) { cursor, limit, ...filter }: OperatorTransactionQuery,
  ): Promise<TransactionPage> {
    return await this.ledger.transactions(filter, { cursor, limit });
  }

  /** Checks the ledger's invariants over the whole database. */
  @Get('ledger/check')
  @Returns(LedgerCheck)
  async check(): Promise<LedgerCheck> {
    return await this.ledger.check();
  }
}
