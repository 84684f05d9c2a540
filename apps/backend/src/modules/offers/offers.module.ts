import { Module } from '@nestjs/common';
import { OffersService } from './offers.service.js';

/** What can be rented, at which price. */
@Module({ providers: [OffersService], exports: [OffersService] })
export class OffersModule {}
