import type { NodePulse } from '../modules/nodes/index.js';
import type { LiveConnection } from './agent-connection.js';

/** A session as the gateway's timers and messages of the bus reach it. */
export interface LiveSession {
  readonly connection: LiveConnection;
  readonly sync: {
    /** Something changed: looks at once. */
    look(): Promise<void>;
    takePulse(pulse: NodePulse): Promise<void>;
  };
  /** Notes segments that were committed, for the next answer. */
  settle(segmentIds: readonly string[]): void;
}
