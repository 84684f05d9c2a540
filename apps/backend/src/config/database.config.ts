import { z } from 'zod';

export const databaseSchema = z
  .object({
    DATABASE_URL: z
      .string()
      .regex(/^postgres(ql)?:\/\//, 'must be a postgresql:// URL of a login that is a member of dcompute_app'),
    DATABASE_POOL_SIZE: z.coerce.number().int().min(2).max(500).default(20),
  })
  .transform((env) => ({ databaseUrl: env.DATABASE_URL, poolSize: env.DATABASE_POOL_SIZE }));
export type DatabaseConfig = z.infer<typeof databaseSchema>;
export const DATABASE_CONFIG = Symbol('DatabaseConfig');

/** Only the migrate command reads it: the backend itself never sees the owner's password. */
export const migrationSchema = z
  .object({
    MIGRATION_DATABASE_URL: z
      .string()
      .regex(/^postgres(ql)?:\/\//, 'must be a postgresql:// URL of the owner of the schema'),
  })
  .transform((env) => ({ databaseUrl: env.MIGRATION_DATABASE_URL }));
