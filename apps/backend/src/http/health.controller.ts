import { Controller, Get } from '@nestjs/common';
import { z } from 'zod';
import { Public, Returns } from '../infra/index.js';
import { Readiness } from './readiness.js';

const Health = z.object({ status: z.literal('ok') }).meta({ id: 'Health' });
type Health = z.infer<typeof Health>;

@Controller('health')
export class HealthController {
  constructor(private readonly readiness: Readiness) {}

  /** The process answers. */
  @Get('live')
  @Public()
  @Returns(Health)
  live(): Health {
    return { status: 'ok' };
  }

  /** The process can do its work: the database answers and has every migration, and no shutdown is under way. */
  @Get('ready')
  @Public()
  @Returns(Health)
  async ready(): Promise<Health> {
    await this.readiness.check();
    return { status: 'ok' };
  }
}
