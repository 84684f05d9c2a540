import { Controller, Get, Query } from '@nestjs/common';
import { Balance, PageQuery, TransactionPage } from '@dcompute/shared-types';
import { CurrentPrincipal, type Principal, Returns } from '../../infra/index.js';
import { LedgerService } from './ledger.service.js';

@Controller('api/v1')
export class LedgerController {
  constructor(private readonly ledger: LedgerService) {}

  /** What the account has: to spend, on hold for its rentals, and earned. */
  @Get('balance')
  @Returns(Balance)
  async balance(@CurrentPrincipal() principal: Principal): Promise<Balance> {
    return await this.ledger.balanceOf(principal.accountId);
  }

  /** The account's side of every ledger entry, newest first. */
  @Get('transactions')
  @Returns(TransactionPage)
  async transactions(
    @CurrentPrincipal() principal: Principal,
    @Query({ schema: PageQuery }) page: PageQuery,
  ): Promise<TransactionPage> {
    return await this.ledger.transactions({ userId: principal.accountId }, page);
  }
}
