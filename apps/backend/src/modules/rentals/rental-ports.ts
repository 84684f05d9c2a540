import type { Bus, SecretsVault } from '../../infra/index.js';
import type { LedgerService } from '../ledger/index.js';
import type { NodesService } from '../nodes/index.js';
import type { OffersService } from '../offers/index.js';
import type { TunnelsService } from '../tunnels/index.js';
import type { PhaseLimitsMs } from './life/rental-changes.js';

export const RENTAL_PORTS = Symbol('RentalPorts');

/** What changes of rentals need beyond their transaction. */
export interface RentalPorts {
  readonly nodes: Pick<NodesService, 'bumpRev'>;
  readonly tunnels: Pick<TunnelsService, 'leasePorts' | 'revokeLeases'>;
  readonly offers: Pick<OffersService, 'refreshAvailability'>;
  readonly ledger: Pick<LedgerService, 'moveHold'>;
  readonly vault: Pick<SecretsVault, 'encrypt'>;
  readonly bus: Pick<Bus, 'publish'>;
  readonly phaseLimitsMs: PhaseLimitsMs;
  /** A hold covers this much running time. */
  readonly holdMs: bigint;
}
