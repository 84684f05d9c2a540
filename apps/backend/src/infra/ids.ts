import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';

/** Source of new ids, as a port so that tests can fix them. */
@Injectable()
export class Ids {
  uuid(): string {
    return randomUUID();
  }
}
