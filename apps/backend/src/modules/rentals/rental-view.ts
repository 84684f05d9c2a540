import type { Rental } from '@dcompute/shared-types';

/** The columns that `toRental` needs, of a "Rental" named r. */
export const RENTAL_COLUMNS = `r."id", r."publicId", r."renterId", r."nodeId", r."offerId", r."label", r."startTime", r."endTime",
  r."costPerHour", r."containerId", r."connectionInfo", r."status", r."phase", r."pullProgress", r."health",
  r."endReason", r."endMessage", r."image", r."runType", r."command", r."containerPorts", r."gpuCount",
  r."cpuMillicores", r."ramMib", r."diskGib", r."ttlExpiresAt", r."moneyCap", r."chargedTotal", r."billedMs",
  r."phasesMs", r."readyAt", r."stopDecidedAt", r."settledAt", r."createdAt"`;

type Moments = 'startTime' | 'endTime' | 'ttlExpiresAt' | 'readyAt' | 'stopDecidedAt' | 'settledAt' | 'createdAt';

/** A row of `RENTAL_COLUMNS`. */
export type RentalRow = Omit<Rental, Moments | 'billableMs'> & {
  readonly startTime: Date;
  readonly endTime: Date | null;
  readonly ttlExpiresAt: Date | null;
  readonly readyAt: Date | null;
  readonly stopDecidedAt: Date | null;
  readonly settledAt: Date | null;
  readonly createdAt: Date;
  readonly billedMs: bigint;
};

/** A rental as JSON carries it. */
export function toRental(row: RentalRow): Rental {
  const { billedMs, ...rest } = row;
  return {
    ...rest,
    billableMs: Number(billedMs),
    startTime: row.startTime.toISOString(),
    endTime: toIso(row.endTime),
    ttlExpiresAt: toIso(row.ttlExpiresAt),
    readyAt: toIso(row.readyAt),
    stopDecidedAt: toIso(row.stopDecidedAt),
    settledAt: toIso(row.settledAt),
    createdAt: row.createdAt.toISOString(),
  };
}

function toIso(moment: Date | null): string | null {
  return moment === null ? null : moment.toISOString();
}
