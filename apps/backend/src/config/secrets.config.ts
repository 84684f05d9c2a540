import { z } from 'zod';

const KEY_BYTES = 32;

export interface SecretsKey {
  readonly id: string;
  readonly bytes: Buffer;
}

export const secretsSchema = z
  .object({
    SECRETS_KEYS: z.string().transform((text, context): [SecretsKey, ...SecretsKey[]] => {
      const keys = text.split(',').map((entry) => {
        const [id = '', encoded = ''] = entry.trim().split(/:(.*)/s);
        return { id, bytes: Buffer.from(encoded, 'base64') };
      });
      const [first, ...rest] = keys;
      if (!first || keys.some((key) => !/^[a-z0-9-]{1,32}$/.test(key.id) || key.bytes.length !== KEY_BYTES)) {
        context.addIssue({
          code: 'custom',
          message: 'must be "<id>:<base64 of 32 bytes>[,<id>:<base64>...]"; make a key with: openssl rand -base64 32',
        });
        return z.NEVER;
      }
      return [first, ...rest];
    }),
  })
  .transform((env) => ({ keys: env.SECRETS_KEYS }));
export type SecretsConfig = z.infer<typeof secretsSchema>;
export const SECRETS_CONFIG = Symbol('SecretsConfig');
