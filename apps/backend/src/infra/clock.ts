import { Injectable } from '@nestjs/common';

/** The backend's wall clock, as a port so that tests can set it. */
@Injectable()
export class Clock {
  /** Epoch milliseconds. */
  nowMs(): number {
    return Date.now();
  }

  now(): Date {
    return new Date(this.nowMs());
  }
}
