import { z } from 'zod';
import { RentalEndReason, RentalHealth, RentalPhase, RentalStatus, RunType } from './enums.js';
import { DecimalAmount } from './money.js';

/** Where a renter connects to. Set when the ports are leased; usable once the rental is RUNNING. */
export const ConnectionInfo = z
  .object({
    host: z.string(),
    sshPort: z.number().int(),
    sshCommand: z.string(),
    sshHostKeyFingerprint: z.string(),
    sshHostPublicKey: z.string(),
    /** container port -> public port, for every port that the rental has. */
    ports: z.record(z.string(), z.number().int()),
  })
  .meta({ id: 'ConnectionInfo' });
export type ConnectionInfo = z.infer<typeof ConnectionInfo>;

export const PullProgress = z
  .object({
    layers_done: z.number().int().min(0),
    layers_total: z.number().int().min(0),
    bytes_done: z.number().int().min(0),
    bytes_total: z.number().int().min(0),
  })
  .meta({ id: 'PullProgress' });
export type PullProgress = z.infer<typeof PullProgress>;

/** Milliseconds spent in each phase of the latest start. */
export const PhasesMs = z.partialRecord(RentalPhase, z.number().int().min(0)).meta({ id: 'PhasesMs' });
export type PhasesMs = z.infer<typeof PhasesMs>;

export const Rental = z
  .object({
    id: z.uuid(),
    publicId: z.number().int(),
    renterId: z.uuid(),
    nodeId: z.uuid(),
    offerId: z.uuid(),
    label: z.string().nullable(),
    startTime: z.iso.datetime(),
    endTime: z.iso.datetime().nullable(),
    costPerHour: DecimalAmount,
    containerId: z.string().nullable(),
    connectionInfo: ConnectionInfo.nullable(),
    status: RentalStatus,
    phase: RentalPhase.nullable(),
    pullProgress: PullProgress.nullable(),
    health: RentalHealth,
    endReason: RentalEndReason.nullable(),
    endMessage: z.string().nullable(),
    image: z.string(),
    runType: RunType,
    command: z.array(z.string()),
    containerPorts: z.array(z.number().int()),
    gpuCount: z.number().int(),
    cpuMillicores: z.number().int(),
    ramMib: z.number().int(),
    diskGib: z.number().int(),
    ttlExpiresAt: z.iso.datetime().nullable(),
    moneyCap: DecimalAmount.nullable(),
    chargedTotal: DecimalAmount,
    billableMs: z.number().int(),
    phasesMs: PhasesMs,
    readyAt: z.iso.datetime().nullable(),
    stopDecidedAt: z.iso.datetime().nullable(),
    /** When the last charge was made and the hold released; null while money may still move. */
    settledAt: z.iso.datetime().nullable(),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'Rental' });
export type Rental = z.infer<typeof Rental>;

export const RentalEvent = z
  .object({
    id: z.uuid(),
    rentalId: z.uuid(),
    type: z.string(),
    fromStatus: RentalStatus.nullable(),
    toStatus: RentalStatus.nullable(),
    reason: RentalEndReason.nullable(),
    message: z.string().nullable(),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'RentalEvent' });
export type RentalEvent = z.infer<typeof RentalEvent>;
