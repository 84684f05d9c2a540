import { Controller, Get, Param, Query } from '@nestjs/common';
import { Offer, OfferPage, OfferQuery } from '@dcompute/shared-types';
import { z } from 'zod';
import { type Principal, PublicMarket, Returns, Visitor } from '../../infra/index.js';
import { OffersService } from './offers.service.js';

@Controller('api/v1/offers')
export class OffersController {
  constructor(private readonly offers: OffersService) {}

  /** What can be rented now, cheapest first. */
  @Get()
  @PublicMarket()
  @Returns(OfferPage)
  async search(
    @Query({ schema: OfferQuery }) query: OfferQuery,
    @Visitor() visitor: Principal | null,
  ): Promise<OfferPage> {
    return await this.offers.search(query, visitor?.accountId ?? null);
  }

  /** One offer, whether available now or not. */
  @Get(':id')
  @PublicMarket()
  @Returns(Offer)
  async get(@Param('id', { schema: z.uuid() }) id: string, @Visitor() visitor: Principal | null): Promise<Offer> {
    return await this.offers.get(id, visitor?.accountId ?? null);
  }
}
