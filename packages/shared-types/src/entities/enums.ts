import { z } from 'zod';

/** What an account may do: rent, provide nodes (the specification's LEASE), or both. */
export const Role = z.enum(['RENT', 'LEASE', 'BOTH']).meta({ id: 'Role' });
export type Role = z.infer<typeof Role>;

/** A person, or a team (as organisations are on GitHub). */
export const AccountKind = z.enum(['PERSON', 'TEAM']).meta({ id: 'AccountKind' });
export type AccountKind = z.infer<typeof AccountKind>;

/** What an agent may say of its own node in a heartbeat. */
export const ReportedNodeStatus = z.enum(['online', 'busy', 'maintenance']).meta({ id: 'ReportedNodeStatus' });
export type ReportedNodeStatus = z.infer<typeof ReportedNodeStatus>;

/** The platform's view of a node: the reported status while heartbeats arrive, then how long it has been silent. */
export const NodeStatus = z
  .enum(['online', 'busy', 'maintenance', 'suspect', 'unreachable', 'lost'])
  .meta({ id: 'NodeStatus' });
export type NodeStatus = z.infer<typeof NodeStatus>;

export const RentalStatus = z
  .enum(['PENDING', 'PROVISIONING', 'RUNNING', 'STOPPING', 'STOPPED', 'TERMINATED', 'FAILED'])
  .meta({ id: 'RentalStatus' });
export type RentalStatus = z.infer<typeof RentalStatus>;

/** The phases of PROVISIONING, in order. */
export const RentalPhase = z
  .enum(['scheduled', 'pulling', 'creating', 'starting', 'probing'])
  .meta({ id: 'RentalPhase' });
export type RentalPhase = z.infer<typeof RentalPhase>;

export const RentalHealth = z.enum(['ok', 'suspect', 'unreachable']).meta({ id: 'RentalHealth' });
export type RentalHealth = z.infer<typeof RentalHealth>;

/** What a placement should be. `stopped` keeps container and disk; `deleted` keeps nothing. */
export const DesiredState = z.enum(['running', 'stopped', 'deleted']).meta({ id: 'DesiredState' });
export type DesiredState = z.infer<typeof DesiredState>;

/** What an instance is, as the agent sees it. */
export const InstancePhase = z
  .enum([
    'scheduled',
    'pulling',
    'creating',
    'starting',
    'probing',
    'running',
    'stopping',
    'stopped',
    'deleted',
    'failed',
  ])
  .meta({ id: 'InstancePhase' });
export type InstancePhase = z.infer<typeof InstancePhase>;

export const RunType = z.enum(['ssh', 'args', 'jupyter']).meta({ id: 'RunType' });
export type RunType = z.infer<typeof RunType>;

/** Why a rental stopped, failed or ended. `rentalEndReasonText` has the sentence for people. */
export const RentalEndReason = z
  .enum([
    'renter_stopped',
    'renter_deleted',
    'ttl_expired',
    'money_cap_reached',
    'balance_exhausted',
    'host_lost',
    'node_shutdown',
    'node_drained',
    'offline_grace_expired',
    'image_not_found',
    'pull_failed',
    'pull_timeout',
    'create_failed',
    'start_failed',
    'phase_timeout',
    'instance_exited',
    'probe_timeout',
    'capacity_taken',
    'operator_stopped',
  ])
  .meta({ id: 'RentalEndReason' });
export type RentalEndReason = z.infer<typeof RentalEndReason>;

const reasonText: Record<RentalEndReason, string> = {
  renter_stopped: 'You stopped the rental. Its container and disk are kept.',
  renter_deleted: 'You deleted the rental. Its container and disk are gone.',
  ttl_expired: 'The time limit that you set was reached.',
  money_cap_reached: 'The money cap that you set was reached.',
  balance_exhausted: 'Your balance no longer covers the next minutes.',
  host_lost: 'The node was not heard of for too long.',
  node_shutdown: 'The host shut the node down. The disk is kept and the rental can be started again.',
  node_drained: 'The host is emptying the node.',
  offline_grace_expired: 'The node could not reach the platform for longer than it may run alone.',
  image_not_found: 'The image does not exist, or needs a registry login.',
  pull_failed: 'The image could not be pulled.',
  pull_timeout: 'Pulling the image took too long.',
  create_failed: 'The container could not be created.',
  start_failed: 'The container could not be started.',
  phase_timeout: 'A step of the start took longer than allowed.',
  instance_exited: 'The program in the container ended.',
  probe_timeout: 'SSH through the public port did not answer for too long.',
  capacity_taken: 'The resources of this rental were rented by someone else while it was stopped.',
  operator_stopped: 'The operator of the platform stopped the rental.',
};

/** The sentence for people that belongs to a reason. */
export function rentalEndReasonText(reason: RentalEndReason): string {
  return reasonText[reason];
}

export const TransactionType = z.enum(['CREDIT', 'DEBIT']).meta({ id: 'TransactionType' });
export type TransactionType = z.infer<typeof TransactionType>;

/** Kinds of ledger account. Signs and checks: design section 7. */
export const LedgerAccountKind = z
  .enum([
    'renter_available',
    'renter_held',
    'renter_receivable',
    'host_pending',
    'host_payable',
    'platform_fee',
    'platform_promotions',
    'platform_absorbed',
    'stripe_clearing',
  ])
  .meta({ id: 'LedgerAccountKind' });
export type LedgerAccountKind = z.infer<typeof LedgerAccountKind>;

export const GpuAllocationState = z.enum(['active', 'claimed', 'releasing']).meta({ id: 'GpuAllocationState' });
export type GpuAllocationState = z.infer<typeof GpuAllocationState>;

export const PortLeaseState = z.enum(['live', 'revoked', 'resting']).meta({ id: 'PortLeaseState' });
export type PortLeaseState = z.infer<typeof PortLeaseState>;

/** What an API key may do. A session may do everything its account's role allows. */
export const Scope = z
  .enum(['read', 'rentals:write', 'nodes:write', 'keys:write', 'account:write', 'operator'])
  .meta({ id: 'Scope' });
export type Scope = z.infer<typeof Scope>;
