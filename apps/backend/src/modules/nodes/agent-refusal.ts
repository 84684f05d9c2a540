import type { AgentErrorCode } from '@dcompute/shared-types';

/** Why an agent is not let in, or is let go. The gateway turns the code into an HTTP status or a close code. */
export class AgentRefusal extends Error {
  constructor(
    readonly code: AgentErrorCode,
    /** What to do about it, in a sentence for the host. */
    detail: string,
  ) {
    super(detail);
    this.name = 'AgentRefusal';
  }
}
