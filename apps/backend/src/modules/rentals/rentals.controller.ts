import { Body, Controller, Delete, Get, Headers, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import {
  CreateRentalRequest,
  PageQuery,
  Rental,
  RentalEventPage,
  RentalPage,
  RentalQuery,
  UpdateRentalRequest,
} from '@dcompute/shared-types';
import { z } from 'zod';
import { CurrentPrincipal, type Principal, RequireRole, RequireScope, Returns } from '../../infra/index.js';
import { RentalsService } from './rentals.service.js';

const rentalId = z.uuid();

@Controller('api/v1/rentals')
export class RentalsController {
  constructor(private readonly rentals: RentalsService) {}

  /** Rents an offer. Needs an `Idempotency-Key` header: the same key never gives two rentals. */
  @Post()
  @RequireScope('rentals:write')
  @RequireRole('RENT')
  @Returns(Rental, 201)
  async create(
    @CurrentPrincipal() principal: Principal,
    @Headers('idempotency-key') key: string | undefined,
    @Body({ schema: CreateRentalRequest }) body: CreateRentalRequest,
  ): Promise<Rental> {
    return await this.rentals.create(principal, key, body);
  }

  /** The account's rentals, newest first. */
  @Get()
  @Returns(RentalPage)
  async list(
    @CurrentPrincipal() principal: Principal,
    @Query({ schema: RentalQuery }) query: RentalQuery,
  ): Promise<RentalPage> {
    return await this.rentals.list(principal, query);
  }

  @Get(':id')
  @Returns(Rental)
  async get(@CurrentPrincipal() principal: Principal, @Param('id', { schema: rentalId }) id: string): Promise<Rental> {
    return await this.rentals.get(principal, id);
  }

  /** What happened to a rental, oldest first. */
  @Get(':id/events')
  @Returns(RentalEventPage)
  async events(
    @CurrentPrincipal() principal: Principal,
    @Param('id', { schema: rentalId }) id: string,
    @Query({ schema: PageQuery }) query: PageQuery,
  ): Promise<RentalEventPage> {
    return await this.rentals.events(principal, id, query);
  }

  /** Stops a rental: nothing after this moment is charged. Container, disk and address are kept. */
  @Post(':id/stop')
  @HttpCode(200)
  @RequireScope('rentals:write')
  @RequireRole('RENT')
  @Returns(Rental)
  async stop(@CurrentPrincipal() principal: Principal, @Param('id', { schema: rentalId }) id: string): Promise<Rental> {
    return await this.rentals.stop(principal, id);
  }

  /** Starts a stopped rental on its node again, with the same address, host key and disk. */
  @Post(':id/start')
  @HttpCode(200)
  @RequireScope('rentals:write')
  @RequireRole('RENT')
  @Returns(Rental)
  async start(
    @CurrentPrincipal() principal: Principal,
    @Param('id', { schema: rentalId }) id: string,
  ): Promise<Rental> {
    return await this.rentals.start(principal, id);
  }

  /** Ends a rental and removes its container and disk. */
  @Delete(':id')
  @RequireScope('rentals:write')
  @RequireRole('RENT')
  @Returns(Rental)
  async delete(
    @CurrentPrincipal() principal: Principal,
    @Param('id', { schema: rentalId }) id: string,
  ): Promise<Rental> {
    return await this.rentals.delete(principal, id);
  }

  /** Changes label, SSH keys or time limit, without a new container. */
  @Patch(':id')
  @RequireScope('rentals:write')
  @RequireRole('RENT')
  @Returns(Rental)
  async update(
    @CurrentPrincipal() principal: Principal,
    @Param('id', { schema: rentalId }) id: string,
    @Body({ schema: UpdateRentalRequest }) body: UpdateRentalRequest,
  ): Promise<Rental> {
    return await this.rentals.update(principal, id, body);
  }
}
