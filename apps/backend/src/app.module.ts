import { type DynamicModule, Module } from '@nestjs/common';
import { AgentGatewayModule } from './agent-gateway/index.js';
import { ConfigModule } from './config/index.js';
import { HttpModule } from './http/http.module.js';
import { InfraModule } from './infra/index.js';
import { BillingModule } from './modules/billing/index.js';
import { IdempotencyModule } from './modules/idempotency/index.js';
import { IdentityModule } from './modules/identity/index.js';
import { KeysModule } from './modules/keys/index.js';
import { LedgerModule } from './modules/ledger/index.js';
import { MeteringModule } from './modules/metering/index.js';
import { NodesModule } from './modules/nodes/index.js';
import { OffersModule } from './modules/offers/index.js';
import { RentalsModule } from './modules/rentals/index.js';
import { TunnelsModule } from './modules/tunnels/index.js';

/** The backend. Every role has all modules; what a process does by its role stands in `config.duties`. */
@Module({})
export class AppModule {
  /** Throws a ConfigError. */
  static from(env?: NodeJS.ProcessEnv): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ConfigModule.from(env),
        InfraModule,
        HttpModule,
        IdempotencyModule,
        IdentityModule,
        KeysModule,
        LedgerModule,
        OffersModule,
        MeteringModule,
        NodesModule,
        TunnelsModule,
        RentalsModule,
        BillingModule,
        AgentGatewayModule,
      ],
    };
  }
}
