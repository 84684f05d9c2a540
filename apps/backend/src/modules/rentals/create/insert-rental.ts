import type { CreateRentalRequest } from '@dcompute/shared-types';
import type { Tx } from '../../../infra/index.js';
import type { StoredSpec } from './instance-spec.js';
import type { OfferedSlice } from './slice.js';
import type { SshHostKey } from './ssh-host-key.js';

/** A secret that was sealed under its row's own id. */
export interface SealedSecret {
  readonly id: string;
  readonly kind: string;
  readonly ciphertext: Uint8Array;
  readonly keyId: string;
}

/** Everything that is written for a new rental but its leases and its hold. */
export interface NewRental {
  readonly rentalId: string;
  readonly placementId: string;
  readonly renterId: string;
  readonly createdById: string;
  readonly apiKeyId: string | null;
  readonly ip: string | null;
  readonly slice: OfferedSlice;
  readonly request: CreateRentalRequest;
  readonly spec: StoredSpec;
  readonly nodeRev: bigint;
  readonly gpuUuids: readonly string[];
  readonly authorizedKeys: readonly string[];
  readonly hostKey: Omit<SshHostKey, 'privateKeyPem'>;
  readonly secrets: {
    readonly env: SealedSecret;
    readonly sshHostKey: SealedSecret;
    readonly registry: SealedSecret | null;
  };
  readonly now: Date;
  readonly phaseDeadlineAt: Date;
  readonly ttlExpiresAt: Date | null;
}

/**
 * Writes a rental in one statement: its secrets, its row, rates, placement, allocations, events and audit row, and takes
 * its slice from the node's capacity. Foreign keys are checked at the statement's end, so the order within does not matter.
 * A slice that is taken in spite of the lock (which cannot happen) fails on the database's own constraints.
 */
export async function insertRental(tx: Tx, rental: NewRental): Promise<void> {
  const { slice, request, secrets } = rental;
  const sealed = [secrets.env, secrets.sshHostKey, ...(secrets.registry ? [secrets.registry] : [])];
  await tx.query(INSERT_RENTAL, [
    rental.rentalId,
    rental.renterId,
    slice.nodeId,
    slice.offerId,
    rental.createdById,
    rental.apiKeyId,
    request.label ?? null,
    rental.now,
    slice.rates.totalPerHour,
    rental.spec.image,
    request.runType,
    request.command,
    rental.spec.container_ports,
    secrets.env.id,
    secrets.registry?.id ?? null,
    secrets.sshHostKey.id,
    rental.hostKey.fingerprint,
    rental.hostKey.publicKey,
    rental.authorizedKeys,
    slice.gpuCount,
    slice.cpuMillicores,
    slice.ramMib,
    slice.diskGib,
    rental.ttlExpiresAt,
    request.moneyCap ?? null,
    rental.phaseDeadlineAt,
    rental.placementId,
    rental.spec.spec_sha,
    JSON.stringify(rental.spec),
    rental.nodeRev,
    rental.gpuUuids,
    JSON.stringify(slice.rates),
    sealed.map((secret) => secret.id),
    sealed.map((secret) => secret.kind),
    sealed.map((secret) => secret.ciphertext),
    sealed.map((secret) => secret.keyId),
    rental.ip,
  ]);
}

const INSERT_RENTAL = `
WITH secret AS (
  INSERT INTO "Secret" ("id", "kind", "ciphertext", "keyId", "createdAt")
  SELECT s.id, s.kind, s.ciphertext, s.key_id, $8::timestamptz
    FROM unnest($33::uuid[], $34::text[], $35::bytea[], $36::text[]) AS s(id, kind, ciphertext, key_id)
), rental AS (
  INSERT INTO "Rental" ("id", "renterId", "nodeId", "offerId", "createdById", "apiKeyId", "label", "startTime", "costPerHour",
      "image", "runType", "command", "containerPorts", "envSecretId", "registrySecretId", "sshHostKeySecretId",
      "sshHostKeyFingerprint", "sshHostPublicKey", "sshAuthorizedKeys", "gpuCount", "gpuUuids", "cpuMillicores", "ramMib", "diskGib",
      "ttlExpiresAt", "moneyCap", "phaseDeadlineAt", "status", "phase", "phaseStartedAt", "phasesMs", "createdAt", "updatedAt")
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::"RunType", $12, $13, $14, $15, $16, $17, $18, $19, $20, $31, $21, $22, $23,
      $24, $25, $26, 'PROVISIONING', 'scheduled', $8, '{}', $8, $8)
), rate AS (
  INSERT INTO "RentalRate" ("id", "rentalId", "validFrom", "gpuPerHour", "cpuPerHour", "ramPerHour", "diskPerHour",
      "trafficPerGib", "totalPerHour", "reason", "createdAt")
  SELECT gen_random_uuid(), $1, $8, r."gpuPerHour", r."cpuPerHour", r."ramPerHour", r."diskPerHour", r."trafficPerGib",
      r."totalPerHour", 'start', $8
    FROM jsonb_to_record($32::jsonb) AS r("gpuPerHour" numeric, "cpuPerHour" numeric, "ramPerHour" numeric,
      "diskPerHour" numeric, "trafficPerGib" numeric, "totalPerHour" numeric)
), placement AS (
  INSERT INTO "Placement" ("id", "rentalId", "nodeId", "incarnation", "gen", "desiredGen", "desired", "specSha", "spec",
      "current", "nodeRev", "createdAt")
  VALUES ($27, $1, $3, 1, 1, 1, 'running', $28, $29::jsonb, true, $30, $8)
), gpus AS (
  INSERT INTO "GpuAllocation" ("id", "nodeId", "gpuUuid", "rentalId", "placementId", "state", "createdAt")
  SELECT gen_random_uuid(), $3, uuid, $1, $27, 'active', $8 FROM unnest($31::text[]) AS uuid
), allocation AS (
  INSERT INTO "CapacityAllocation" ("id", "nodeId", "rentalId", "cpuMillicores", "ramMib", "diskGib", "createdAt")
  VALUES (gen_random_uuid(), $3, $1, $21, $22, $23, $8)
), capacity AS (
  UPDATE "NodeCapacity"
     SET "freeCpuMillicores" = "freeCpuMillicores" - $21, "freeRamMib" = "freeRamMib" - $22, "freeDiskGib" = "freeDiskGib" - $23
   WHERE "nodeId" = $3
), noted AS (
  INSERT INTO "RentalEvent" ("id", "rentalId", "type", "fromStatus", "toStatus", "data", "actorId", "createdAt")
  VALUES (gen_random_uuid(), $1, 'created', NULL, 'PROVISIONING', jsonb_build_object('image', $10::text), $5, $8)
), audited AS (
  INSERT INTO "AuditRow" ("actorId", "accountId", "action", "subjectType", "subjectId", "data", "ip", "createdAt")
  VALUES ($5, $2, 'rental.create', 'Rental', $1::text, jsonb_build_object('offerId', $4::text, 'apiKeyId', $6::text), $37, $8)
)
INSERT INTO "OutboxEvent" ("accountId", "type", "subjectId", "data", "createdAt")
VALUES ($2, 'rental.created', $1::text, jsonb_build_object('status', 'PROVISIONING', 'phase', 'scheduled', 'nodeId', $3::text), $8)`;
