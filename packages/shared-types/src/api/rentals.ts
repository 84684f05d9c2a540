import { z } from 'zod';
import { RunType } from '../entities/enums.js';
import { LIMITS } from '../entities/limits.js';
import { NonNegativeAmount } from '../entities/money.js';
import { Rental, RentalEvent } from '../entities/rental.js';
import { SshPublicKey } from './keys.js';
import { PageQuery, pageOf } from './pages.js';

const imageReference = z
  .string()
  .min(1)
  .max(512)
  .regex(
    /^[a-z0-9][a-zA-Z0-9._:/@-]*$/,
    'must be an image reference such as debian:12 or registry.example.com/team/image:tag',
  );

const envName = z
  .string()
  .max(256)
  .regex(/^[A-Za-z_][A-Za-z0-9_.-]*$/, 'an environment variable name must start with a letter or _ and has no "="')
  .refine((name) => !/^NVIDIA_/i.test(name), 'NVIDIA_* variables are set by the platform only');

const env = z.record(z.string(), z.string().max(LIMITS.envValueBytes)).superRefine((variables, context) => {
  for (const name of Object.keys(variables)) {
    const parsed = envName.safeParse(name);
    if (!parsed.success) {
      context.addIssue({ code: 'custom', path: [name], message: parsed.error.issues[0]?.message ?? 'invalid name' });
    }
  }
  if (Object.keys(variables).length > LIMITS.envVariables) {
    context.addIssue({ code: 'custom', message: `at most ${LIMITS.envVariables} variables` });
  }
  const bytes = Object.entries(variables).reduce((sum, [name, value]) => sum + name.length + utf8Length(value), 0);
  if (bytes > LIMITS.envTotalBytes) {
    context.addIssue({ code: 'custom', message: `at most ${LIMITS.envTotalBytes} bytes in all` });
  }
});

/** The keys of one rental: each within its own limit, and together within what one message may carry. */
const sshPublicKeys = z
  .array(SshPublicKey)
  .max(LIMITS.sshKeysPerRental)
  .refine((keys) => jsonBytes(keys) <= LIMITS.sshKeysTotalBytes, `at most ${LIMITS.sshKeysTotalBytes} bytes in all`);

/** Needs an `Idempotency-Key` header: the same key twice never gives two rentals. */
export const CreateRentalRequest = z
  .object({
    offerId: z.uuid(),
    image: imageReference.default('dcompute/default:1'),
    runType: RunType.default('ssh'),
    /** run type args: replaces the image's CMD; run type ssh: run once at the start. */
    command: z.array(z.string().max(LIMITS.commandBytes)).max(LIMITS.commandArguments).default([]),
    env: env.default({}),
    /** Container ports to open beside 22. */
    ports: z.array(z.number().int().min(1).max(65_535)).max(LIMITS.containerPorts).default([]),
    sshKeyIds: z.array(z.uuid()).max(LIMITS.sshKeysPerRental).default([]),
    sshPublicKeys: sshPublicKeys.default([]),
    /** The rental is deleted when this many seconds have passed. */
    ttlSeconds: z.number().int().min(60).max(31_536_000).optional(),
    /** The rental never costs more than this, in dollars. */
    moneyCap: NonNegativeAmount.optional(),
    label: z.string().trim().min(1).max(120).optional(),
    registryAuth: z
      .object({ server: z.string().max(255), username: z.string().max(255), password: z.string().max(8192) })
      .optional(),
  })
  .refine(
    ({ command, env: variables, registryAuth }) =>
      jsonBytes({ command, env: variables, registryAuth }) <= LIMITS.specTextBytes,
    {
      message: `command, env and registryAuth have at most ${LIMITS.specTextBytes} bytes of JSON in all`,
      path: ['command'],
    },
  )
  .meta({ id: 'CreateRentalRequest' });
export type CreateRentalRequest = z.infer<typeof CreateRentalRequest>;

export const RentalQuery = PageQuery.extend({
  /** `active`: all that hold something on a node; `ended`: TERMINATED and FAILED. */
  state: z.enum(['active', 'ended', 'all']).default('all'),
  /** `anyone`: operators only. */
  renter: z.enum(['me', 'anyone']).default('me'),
}).meta({ id: 'RentalQuery' });
export type RentalQuery = z.infer<typeof RentalQuery>;

export const RentalPage = pageOf(Rental, 'RentalPage');
export type RentalPage = z.infer<typeof RentalPage>;

export const RentalEventPage = pageOf(RentalEvent, 'RentalEventPage');
export type RentalEventPage = z.infer<typeof RentalEventPage>;

export const UpdateRentalRequest = z
  .object({
    label: z.string().trim().min(1).max(120).nullable().optional(),
    sshPublicKeys: sshPublicKeys.min(1).optional(),
    /** Counted from now. */
    ttlSeconds: z.number().int().min(60).max(31_536_000).nullable().optional(),
  })
  .meta({ id: 'UpdateRentalRequest' });
export type UpdateRentalRequest = z.infer<typeof UpdateRentalRequest>;

/** The size of a value on the wire: JSON writes some characters with several times their bytes. */
export function jsonBytes(value: unknown): number {
  return utf8Length(JSON.stringify(value));
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}
