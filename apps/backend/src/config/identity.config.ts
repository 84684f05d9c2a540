import { z } from 'zod';
import { flag } from './env.js';

export const identitySchema = z
  .object({
    NODE_ENV: z.string().optional(),
    CLERK_JWT_KEY: z
      .string()
      .includes('PUBLIC KEY', { message: 'must be the PEM public key of the Clerk instance' })
      .optional(),
    CLERK_ISSUER: z.url().optional(),
    CLERK_AUTHORIZED_PARTIES: z.string().min(1).optional(),
    EMBEDDED_AUTH_SECRET: z.string().min(24, 'must have at least 24 characters').optional(),
    EMBEDDED_IDENTITY_IN_PRODUCTION: flag(false),
    /** Attempts of one address to sign in to one account, and to sign up. */
    SIGN_IN_LIMIT_PER_MINUTE: z.coerce.number().int().min(1).max(1_000_000).default(10),
    OPERATOR_EMAIL: z.email().optional(),
    OPERATOR_PASSWORD: z.string().min(10).optional(),
  })
  .superRefine((env, context) => {
    const issue = (name: string, message: string) => context.addIssue({ code: 'custom', path: [name], message });
    const clerk = [env.CLERK_JWT_KEY, env.CLERK_ISSUER, env.CLERK_AUTHORIZED_PARTIES];
    if (clerk.some(Boolean) && !clerk.every(Boolean)) {
      issue(
        'CLERK_JWT_KEY',
        'CLERK_JWT_KEY, CLERK_ISSUER and CLERK_AUTHORIZED_PARTIES belong together: set all three or none',
      );
    }
    if (!clerk.some(Boolean)) {
      if (!env.EMBEDDED_AUTH_SECRET)
        issue('EMBEDDED_AUTH_SECRET', 'is needed without Clerk (or set the CLERK_* variables)');
      if (env.NODE_ENV === 'production' && !env.EMBEDDED_IDENTITY_IN_PRODUCTION) {
        issue(
          'EMBEDDED_IDENTITY_IN_PRODUCTION',
          'must be "true" to use the embedded identity with NODE_ENV=production (or set the CLERK_* variables)',
        );
      }
    }
    if ((env.OPERATOR_EMAIL === undefined) !== (env.OPERATOR_PASSWORD === undefined)) {
      issue('OPERATOR_EMAIL', 'OPERATOR_EMAIL and OPERATOR_PASSWORD belong together');
    }
  })
  .transform((env) => ({
    clerk:
      env.CLERK_JWT_KEY && env.CLERK_ISSUER && env.CLERK_AUTHORIZED_PARTIES
        ? {
            jwtKey: env.CLERK_JWT_KEY.replaceAll('\\n', '\n'),
            issuer: env.CLERK_ISSUER,
            authorizedParties: env.CLERK_AUTHORIZED_PARTIES.split(',').map((party) => party.trim()),
          }
        : null,
    attemptsPerMinute: env.SIGN_IN_LIMIT_PER_MINUTE,
    embeddedSecret: env.EMBEDDED_AUTH_SECRET ?? null,
    operator:
      env.OPERATOR_EMAIL && env.OPERATOR_PASSWORD
        ? { email: env.OPERATOR_EMAIL, password: env.OPERATOR_PASSWORD }
        : null,
  }));
export type IdentityConfig = z.infer<typeof identitySchema>;
export const IDENTITY_CONFIG = Symbol('IdentityConfig');
