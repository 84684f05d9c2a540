import type { InstanceReport } from '@dcompute/shared-types';
import type { AgentSession } from '../agent-session.js';

/** A change of phase, told at once. */
export function takeInstanceStatus(session: AgentSession, report: InstanceReport): void {
  session.apply({ instances: [report], gpus: [] });
}
