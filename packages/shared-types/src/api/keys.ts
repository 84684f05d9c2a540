import { z } from 'zod';
import { Scope } from '../entities/enums.js';
import { LIMITS } from '../entities/limits.js';
import { pageOf } from './pages.js';

const name = z.string().trim().min(1).max(120);

export const CreateApiKeyRequest = z
  .object({
    name,
    scopes: z.array(Scope).min(1).max(10),
    expiresAt: z.iso.datetime().optional(),
  })
  .meta({ id: 'CreateApiKeyRequest' });
export type CreateApiKeyRequest = z.infer<typeof CreateApiKeyRequest>;

export const ApiKey = z
  .object({
    id: z.uuid(),
    name: z.string(),
    prefix: z.string(),
    scopes: z.array(Scope),
    lastUsedAt: z.iso.datetime().nullable(),
    expiresAt: z.iso.datetime().nullable(),
    revokedAt: z.iso.datetime().nullable(),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'ApiKey' });
export type ApiKey = z.infer<typeof ApiKey>;

export const ApiKeyPage = pageOf(ApiKey, 'ApiKeyPage');
export type ApiKeyPage = z.infer<typeof ApiKeyPage>;

/** `secret` is shown here and never again. */
export const CreatedApiKey = ApiKey.extend({ secret: z.string() }).meta({ id: 'CreatedApiKey' });
export type CreatedApiKey = z.infer<typeof CreatedApiKey>;

export const CreateHostKeyRequest = z.object({ name }).meta({ id: 'CreateHostKeyRequest' });
export type CreateHostKeyRequest = z.infer<typeof CreateHostKeyRequest>;

export const HostKey = z
  .object({
    id: z.uuid(),
    name: z.string(),
    prefix: z.string(),
    nodeId: z.uuid().nullable(),
    lastUsedAt: z.iso.datetime().nullable(),
    revokedAt: z.iso.datetime().nullable(),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'HostKey' });
export type HostKey = z.infer<typeof HostKey>;

/** `secret` is shown here and never again: it is the agent's `HOST_API_KEY`. */
export const CreatedHostKey = HostKey.extend({ secret: z.string() }).meta({ id: 'CreatedHostKey' });
export type CreatedHostKey = z.infer<typeof CreatedHostKey>;

export const HostKeyPage = pageOf(HostKey, 'HostKeyPage');
export type HostKeyPage = z.infer<typeof HostKeyPage>;

/** One line of an authorized_keys file without options, of a kind that the guest accepts. */
export const SshPublicKey = z
  .string()
  .trim()
  .max(LIMITS.sshPublicKeyBytes)
  .regex(
    /^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com) [A-Za-z0-9+/]+={0,3}( [^\r\n]*)?$/,
    'must be one OpenSSH public key, such as the content of ~/.ssh/id_ed25519.pub',
  )
  .meta({ id: 'SshPublicKey' });

export const CreateSshKeyRequest = z.object({ name, publicKey: SshPublicKey }).meta({ id: 'CreateSshKeyRequest' });
export type CreateSshKeyRequest = z.infer<typeof CreateSshKeyRequest>;

export const SshKey = z
  .object({
    id: z.uuid(),
    publicId: z.number().int(),
    name: z.string(),
    publicKey: z.string(),
    fingerprint: z.string(),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'SshKey' });
export type SshKey = z.infer<typeof SshKey>;

export const SshKeyPage = pageOf(SshKey, 'SshKeyPage');
export type SshKeyPage = z.infer<typeof SshKeyPage>;
