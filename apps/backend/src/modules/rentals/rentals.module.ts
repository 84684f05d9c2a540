import { Module } from '@nestjs/common';
import { MONEY_CONFIG, type MoneyConfig, RENTAL_CONFIG, type RentalConfig } from '../../config/index.js';
import { Bus, SecretsVault } from '../../infra/index.js';
import { IdempotencyModule } from '../idempotency/index.js';
import { LedgerModule, LedgerService } from '../ledger/index.js';
import { MeteringModule } from '../metering/index.js';
import { NodesModule, NodesService } from '../nodes/index.js';
import { OffersModule, OffersService } from '../offers/index.js';
import { TunnelsModule, TunnelsService } from '../tunnels/index.js';
import { AgentRentals } from './agent/agent-rentals.service.js';
import { RentalLife } from './life/rental-life.js';
import { RENTAL_PORTS, type RentalPorts } from './rental-ports.js';
import { RentalsController } from './rentals.controller.js';
import { RentalsService } from './rentals.service.js';
import { RentalSweeper } from './sweep/rental-sweeper.js';

const ports = {
  provide: RENTAL_PORTS,
  inject: [NodesService, TunnelsService, OffersService, LedgerService, SecretsVault, Bus, RENTAL_CONFIG, MONEY_CONFIG],
  useFactory: (
    nodes: NodesService,
    tunnels: TunnelsService,
    offers: OffersService,
    ledger: LedgerService,
    vault: SecretsVault,
    bus: Bus,
    { phaseLimitsMs }: RentalConfig,
    { holdMs }: MoneyConfig,
  ): RentalPorts => ({ nodes, tunnels, offers, ledger, vault, bus, phaseLimitsMs, holdMs }),
};

/** Rentals from start to end: what renters ask for, what agents report, and what time decides. */
@Module({
  imports: [IdempotencyModule, LedgerModule, MeteringModule, NodesModule, OffersModule, TunnelsModule],
  controllers: [RentalsController],
  providers: [ports, RentalsService, RentalLife, AgentRentals, RentalSweeper],
  exports: [RentalsService, RentalLife, AgentRentals],
})
export class RentalsModule {}
