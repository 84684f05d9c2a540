import { type DynamicModule, Global, Module, type ValueProvider } from '@nestjs/common';
import { APP_CONFIG, appSchema } from './app.config.js';
import { DATABASE_CONFIG, databaseSchema } from './database.config.js';
import { GATEWAY_CONFIG, gatewaySchema } from './gateway.config.js';
import { HTTP_CONFIG, httpSchema } from './http.config.js';
import { IDENTITY_CONFIG, identitySchema } from './identity.config.js';
import { ConfigError, loadConfig } from './load-config.js';
import { MONEY_CONFIG, moneySchema } from './money.config.js';
import { RENTAL_CONFIG, rentalSchema } from './rental.config.js';
import { SECRETS_CONFIG, secretsSchema } from './secrets.config.js';
import { TUNNEL_CONFIG, tunnelSchema } from './tunnel.config.js';

const domains = [
  [APP_CONFIG, appSchema],
  [HTTP_CONFIG, httpSchema],
  [DATABASE_CONFIG, databaseSchema],
  [SECRETS_CONFIG, secretsSchema],
  [IDENTITY_CONFIG, identitySchema],
  [GATEWAY_CONFIG, gatewaySchema],
  [TUNNEL_CONFIG, tunnelSchema],
  [MONEY_CONFIG, moneySchema],
  [RENTAL_CONFIG, rentalSchema],
] as const;

/** Every domain of the configuration, parsed once at boot. */
@Global()
@Module({})
export class ConfigModule {
  /**
   * `env` is the process's environment, or what stands in for it: each backend of a test has its own. Throws a ConfigError
   * that names every wrong variable of every domain.
   */
  static from(env?: NodeJS.ProcessEnv): DynamicModule {
    const problems: string[] = [];
    const providers: ValueProvider[] = [];
    for (const [provide, schema] of domains) {
      try {
        providers.push({ provide, useValue: loadConfig(schema, env) });
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        problems.push(...error.problems);
      }
    }
    if (problems.length > 0) throw new ConfigError(problems);
    return { module: ConfigModule, providers, exports: domains.map(([provide]) => provide) };
  }
}
