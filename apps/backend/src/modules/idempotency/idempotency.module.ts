import { Module } from '@nestjs/common';
import { IdempotencyTimer } from './idempotency-timer.js';
import { IdempotencyService } from './idempotency.service.js';

@Module({ providers: [IdempotencyService, IdempotencyTimer], exports: [IdempotencyService] })
export class IdempotencyModule {}
