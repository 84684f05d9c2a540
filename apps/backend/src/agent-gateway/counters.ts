import type { Ack, AgentEvent, CommandResult } from '@dcompute/shared-types';

/** What a replica counts since its start, for its metrics. Keys are bounded: they are ours, never an agent's text. */
export class GatewayCounters {
  readonly messages = new Map<AgentEvent, number>();
  readonly acks = new Map<CommandResult, number>();
  unknownEvents = 0;
  malformed = 0;

  countMessage(event: AgentEvent): void {
    this.messages.set(event, (this.messages.get(event) ?? 0) + 1);
  }

  countAck({ result }: Ack): void {
    this.acks.set(result, (this.acks.get(result) ?? 0) + 1);
  }
}
