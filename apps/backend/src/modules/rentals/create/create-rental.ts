import { randomUUID } from 'node:crypto';
import type { ConnectionInfo, CreateRentalRequest } from '@dcompute/shared-types';
import { AppError, type Principal, type Tx } from '../../../infra/index.js';
import type { RentalPorts } from '../rental-ports.js';
import { firstHoldMicros } from './first-hold.js';
import { type SealedSecret, insertRental } from './insert-rental.js';
import { SSH_CONTAINER_PORT, buildSpec } from './instance-spec.js';
import { lockOffer, pickGpus } from './slice.js';
import { type SshHostKey, generateSshHostKey } from './ssh-host-key.js';
import { authorizedKeysFor } from './ssh-keys.js';

/**
 * Rents an offer, all or nothing, in the caller's transaction: slice, GPUs, secrets, placement, port leases, hold. Any
 * refusal throws an AppError, and the rollback leaves nothing behind. Order of locks: node capacity, node, proxy server,
 * ledger accounts. Returns the new rental's id; its node is told after the commit.
 */
export async function createRental(
  tx: Tx,
  ports: RentalPorts,
  principal: Principal,
  request: CreateRentalRequest,
  now: Date,
): Promise<string> {
  refuseUnsupported(request);
  const rentalId = randomUUID();
  const authorizedKeys = await authorizedKeysFor(tx, principal.accountId, request);
  const hostKey = generateSshHostKey();
  const slice = await lockOffer(tx, request.offerId, principal.accountId);
  const holdMicros = firstHoldMicros(
    {
      totalPerHour: slice.rates.totalPerHour,
      moneyCap: request.moneyCap ?? null,
      chargedTotal: '0',
      held: '0',
      balance: slice.balance,
    },
    ports.holdMs,
  );
  const gpus = await pickGpus(tx, slice);
  const { stored } = buildSpec({ ...request, ...slice, rentalId, gpus });
  await insertRental(tx, {
    rentalId,
    placementId: randomUUID(),
    renterId: principal.accountId,
    createdById: principal.personId,
    apiKeyId: principal.apiKeyId,
    ip: principal.ip,
    slice,
    request,
    spec: stored,
    nodeRev: await ports.nodes.bumpRev(tx, slice.nodeId),
    gpuUuids: gpus.map((gpu) => gpu.uuid),
    authorizedKeys,
    hostKey,
    secrets: sealAll(ports.vault, request, hostKey),
    now,
    phaseDeadlineAt: new Date(now.getTime() + ports.phaseLimitsMs.scheduled),
    ttlExpiresAt: request.ttlSeconds === undefined ? null : new Date(now.getTime() + request.ttlSeconds * 1000),
  });
  await connect(tx, ports, { rentalId, nodeId: slice.nodeId, containerPorts: stored.container_ports, hostKey });
  await ports.offers.refreshAvailability(tx, [slice.nodeId]);
  await ports.ledger.moveHold(tx, {
    kind: 'hold',
    rentalId,
    renterId: principal.accountId,
    amountMicros: holdMicros,
  });
  tx.afterCommit(() => {
    ports.bus.publish('node.changed', { nodeId: slice.nodeId });
    ports.bus.publish('outbox.appended', { accountId: principal.accountId });
  });
  return rentalId;
}

function refuseUnsupported(request: CreateRentalRequest): void {
  if (request.runType !== 'jupyter') return;
  throw new AppError('rental.run_type_unsupported', {
    detail: 'The run type jupyter is not there yet. Use ssh and start Jupyter yourself, or args to run a program.',
  });
}

/** Leases the public ports and records where the renter connects to; the address holds for the rental's whole life. */
async function connect(
  tx: Tx,
  ports: RentalPorts,
  rental: { rentalId: string; nodeId: string; containerPorts: number[]; hostKey: SshHostKey },
): Promise<void> {
  const { rentalId, nodeId, containerPorts, hostKey } = rental;
  const { host, leases } = await ports.tunnels.leasePorts(tx, { rentalId, nodeId, containerPorts });
  const portOf = new Map(leases.map((lease) => [lease.containerPort, lease.port]));
  const sshPort = portOf.get(SSH_CONTAINER_PORT);
  if (sshPort === undefined) throw new Error(`no port was leased for SSH of rental ${rentalId}`);
  const info: ConnectionInfo = {
    host,
    sshPort,
    sshCommand: `ssh -p ${sshPort} root@${host}`,
    sshHostKeyFingerprint: hostKey.fingerprint,
    sshHostPublicKey: hostKey.publicKey,
    ports: Object.fromEntries(portOf),
  };
  await tx.query(`UPDATE "Rental" SET "connectionInfo" = $2::jsonb WHERE "id" = $1`, [rentalId, JSON.stringify(info)]);
}

function sealAll(vault: RentalPorts['vault'], request: CreateRentalRequest, hostKey: SshHostKey) {
  const seal = (kind: string, text: string): SealedSecret => {
    const id = randomUUID();
    return { id, kind, ...vault.encrypt(id, text) };
  };
  return {
    env: seal('rental_env', JSON.stringify(request.env)),
    sshHostKey: seal('rental_ssh_host_key', hostKey.privateKeyPem),
    registry: request.registryAuth ? seal('rental_registry_auth', JSON.stringify(request.registryAuth)) : null,
  };
}
