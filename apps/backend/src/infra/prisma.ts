import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { PrismaPg } from '@prisma/adapter-pg';
import { PrismaClient } from '../generated/prisma/client.js';
import { Database } from './db.js';

/**
 * Typed reads of plain rows, on the connections of `Database`. What must be one transaction with other effects (ledger,
 * rentals, idempotency, audit) is SQL: docs/adr/0002-prisma-and-sql.md has the figures.
 */
@Injectable()
export class Prisma implements OnApplicationShutdown {
  readonly client: PrismaClient;

  constructor(db: Database) {
    this.client = new PrismaClient({ adapter: new PrismaPg(db.pool, { disposeExternalPool: false }) });
  }

  async onApplicationShutdown(): Promise<void> {
    await this.client.$disconnect();
  }
}
