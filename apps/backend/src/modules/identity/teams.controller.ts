import { Body, Controller, Delete, Get, Headers, HttpCode, Param, Post, Put } from '@nestjs/common';
import {
  ActingAccountPage,
  CreateTeamRequest,
  SetTeamMemberRequest,
  TeamMember,
  TeamMemberPage,
  User,
} from '@dcompute/shared-types';
import { z } from 'zod';
import { CurrentPrincipal, type Principal, Returns, ReturnsNothing } from '../../infra/index.js';
import { TeamsService } from './teams.service.js';

@Controller('api/v1')
export class TeamsController {
  constructor(private readonly teams: TeamsService) {}

  /** The accounts that the person may act for: send the id of a team as `X-Account-Id`. */
  @Get('accounts')
  @Returns(ActingAccountPage)
  async accounts(@CurrentPrincipal() principal: Principal): Promise<ActingAccountPage> {
    return { items: await this.teams.accountsOf(principal), nextCursor: null };
  }

  /** Makes a team that the person owns. */
  @Post('teams')
  @Returns(User, 201)
  async create(
    @CurrentPrincipal() principal: Principal,
    @Headers('idempotency-key') key: string | undefined,
    @Body({ schema: CreateTeamRequest }) request: CreateTeamRequest,
  ): Promise<User> {
    return await this.teams.create(principal, key, request);
  }

  @Get('teams/:id/members')
  @Returns(TeamMemberPage)
  async members(
    @CurrentPrincipal() principal: Principal,
    @Param('id', { schema: z.uuid() }) teamId: string,
  ): Promise<TeamMemberPage> {
    return { items: await this.teams.membersOf(principal, teamId), nextCursor: null };
  }

  /** Adds somebody who has an account, or changes their role. For owners and admins. */
  @Put('teams/:id/members')
  @Returns(TeamMember)
  async setMember(
    @CurrentPrincipal() principal: Principal,
    @Param('id', { schema: z.uuid() }) teamId: string,
    @Body({ schema: SetTeamMemberRequest }) request: SetTeamMemberRequest,
  ): Promise<TeamMember> {
    return await this.teams.setMember(principal, teamId, request);
  }

  /** Removes somebody, or oneself. The keys that they made for the team end with it. */
  @Delete('teams/:id/members/:personId')
  @HttpCode(204)
  @ReturnsNothing()
  async removeMember(
    @CurrentPrincipal() principal: Principal,
    @Param('id', { schema: z.uuid() }) teamId: string,
    @Param('personId', { schema: z.uuid() }) personId: string,
  ): Promise<void> {
    await this.teams.removeMember(principal, teamId, personId);
  }
}
