import { Module } from '@nestjs/common';
import { MeteringService } from './metering.service.js';

/** Proof of time. Depends on no other module: its writes are fenced in SQL. */
@Module({ providers: [MeteringService], exports: [MeteringService] })
export class MeteringModule {}
