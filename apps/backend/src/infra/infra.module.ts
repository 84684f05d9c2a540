import { Global, Module } from '@nestjs/common';
import { Audit } from './audit.js';
import { Bus } from './bus.js';
import { Clock } from './clock.js';
import { Database } from './db.js';
import { Ids } from './ids.js';
import { Logger } from './logger.js';
import { Outbox } from './outbox.js';
import { Prisma } from './prisma.js';
import { SecretsVault } from './secrets-vault.js';

const providers = [Audit, Bus, Clock, Database, Ids, Logger, Outbox, Prisma, SecretsVault];

/** What every module may use. Imports nothing from modules/. */
@Global()
@Module({ providers, exports: providers })
export class InfraModule {}
