import { z } from 'zod';

/**
 * What a guard and the backend say to each other under `/internal/guard/v1`, with the guard's own credential as
 * `Authorization: Bearer`. A guard sees the leases of its own proxy server only.
 */
export const GuardLease = z
  .object({
    leaseId: z.uuid(),
    rentalId: z.uuid(),
    nodeId: z.uuid(),
    proxyName: z.string(),
    protocol: z.enum(['tcp', 'http']),
    port: z.number().int().nullable(),
    hostLabel: z.string().nullable(),
    containerPort: z.number().int(),
    state: z.enum(['live', 'revoked', 'resting']),
    /** SHA-256 fingerprint (`SHA256:…`) that the SSH server on port 22 must show. */
    sshHostKeyFingerprint: z.string().nullable(),
  })
  .meta({ id: 'GuardLease' });
export type GuardLease = z.infer<typeof GuardLease>;

export const GuardNode = z
  .object({
    nodeId: z.uuid(),
    /** SHA-256 (hex) of the node's tunnel token; null when the node is evicted. */
    tunnelTokenHash: z.string().nullable(),
  })
  .meta({ id: 'GuardNode' });
export type GuardNode = z.infer<typeof GuardNode>;

/**
 * `GET /internal/guard/v1/leases?sinceRev=R&waitMs=W`: what changed after R. With `waitMs` the answer waits for a change,
 * for so long at most.
 */
export const GuardSyncQuery = z
  .object({
    sinceRev: z.coerce.number().int().min(0),
    waitMs: z.coerce.number().int().min(0).max(30_000).default(0),
  })
  .meta({ id: 'GuardSyncQuery' });
export type GuardSyncQuery = z.infer<typeof GuardSyncQuery>;

/** Ask for changes after `rev` next. A rev may come with a change that comes again: applying it twice changes nothing. */
export const GuardSync = z
  .object({
    rev: z.number().int(),
    /** True when this is everything there is (R was 0, or higher than what the platform knows): what is not in it is gone. */
    full: z.boolean(),
    leases: z.array(GuardLease),
    nodes: z.array(GuardNode),
  })
  .meta({ id: 'GuardSync' });
export type GuardSync = z.infer<typeof GuardSync>;

/** One probe of an SSH port through the tunnel: banner read and host key compared. */
export const GuardProbe = z
  .object({
    leaseId: z.uuid(),
    rentalId: z.uuid(),
    at: z.iso.datetime(),
    ok: z.boolean(),
    failure: z.enum(['refused', 'timeout', 'closed', 'no_banner', 'host_key_mismatch']).optional(),
    durationMs: z.number().int().min(0),
  })
  .meta({ id: 'GuardProbe' });
export type GuardProbe = z.infer<typeof GuardProbe>;

/** `POST /internal/guard/v1/probes`, at most 1,000 at once; a doubled report changes nothing. */
export const GuardProbeReport = z.object({ probes: z.array(GuardProbe).max(1000) }).meta({ id: 'GuardProbeReport' });
export type GuardProbeReport = z.infer<typeof GuardProbeReport>;

/** `POST /internal/guard/v1/closed`: revoked leases whose ports frps shows as closed. Their ports rest from then on. */
export const GuardClosedReport = z.object({ leaseIds: z.array(z.uuid()).max(1000) }).meta({ id: 'GuardClosedReport' });
export type GuardClosedReport = z.infer<typeof GuardClosedReport>;
