import { randomBytes, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import * as config from '../src/config/index.js';

const { ConfigModule, guardSchema, loadConfig, migrationSchema } = config;

/** Every schema of the configuration: what a domain exports as `<name>Schema`. */
const schemas = Object.entries<unknown>({ ...config }).flatMap(([name, value]): [string, z.ZodType][] =>
  name.endsWith('Schema') && value instanceof z.ZodType ? [[name, value]] : [],
);

/** What an operator fills in: it has no default. */
const FILLED = {
  SECRETS_KEYS: `first:${randomBytes(32).toString('base64')}`,
  EMBEDDED_AUTH_SECRET: randomBytes(24).toString('hex'),
  EMBEDDED_IDENTITY_IN_PRODUCTION: 'true',
  GUARD_CREDENTIAL: randomBytes(24).toString('hex'),
  GUARD_PROXY_SERVER_ID: randomUUID(),
  FRPS_ADMIN_PASSWORD: randomBytes(12).toString('hex'),
};
const SECRETS = [
  'SECRETS_KEYS',
  'EMBEDDED_AUTH_SECRET',
  'GUARD_CREDENTIAL',
  'GUARD_CREDENTIALS',
  'FRPS_ADMIN_PASSWORD',
  'OPERATOR_PASSWORD',
  'CLERK_JWT_KEY',
];

let example: Record<string, string>;
beforeAll(async () => {
  const text = await readFile(join(import.meta.dirname, '../../../.env.example'), 'utf8');
  example = Object.fromEntries(Object.entries(parseEnv(text)).map(([name, value]) => [name, value ?? '']));
});

/** The object inside a schema's transforms. */
function objectOf(schema: z.ZodType): z.ZodObject {
  if (schema instanceof z.ZodObject) return schema;
  if (schema instanceof z.ZodPipe && schema.in instanceof z.ZodType) return objectOf(schema.in);
  throw new TypeError('a schema of the configuration is an object of variables and a transform');
}

describe('.env.example', () => {
  it('has every variable of the configuration, and no other', () => {
    const variables = new Set(schemas.flatMap(([, schema]) => Object.keys(objectOf(schema).shape)));
    expect(Object.keys(example).toSorted()).toEqual([...variables].toSorted());
  });

  it('is a usable configuration once its secrets are filled in', () => {
    const env = { ...example, ...FILLED };
    expect(() => ConfigModule.from(env)).not.toThrow();
    expect(loadConfig(guardSchema, env).listen.port).toBe(7600);
    expect(loadConfig(migrationSchema, env).databaseUrl).toMatch(/^postgresql:/);
  });

  it('shows the default of every variable that has one', () => {
    for (const [name, schema] of schemas) {
      for (const [variable, field] of Object.entries(objectOf(schema).shape)) {
        if (!(field instanceof z.ZodType) || !field.safeParse(undefined).success || variable === 'NODE_ENV') continue;
        const shown = example[variable] === '' ? undefined : example[variable];
        expect({ name, variable, value: field.parse(shown) }).toEqual({
          name,
          variable,
          value: field.parse(undefined),
        });
      }
    }
  });

  it('holds no secret that somebody could leave as it is', () => {
    for (const name of SECRETS) expect({ name, value: example[name] }).toEqual({ name, value: '' });
    expect(() => ConfigModule.from(example)).toThrow(/SECRETS_KEYS: is not set/);
  });
});

describe('a configuration that is not usable', () => {
  it('is refused with every variable that is wrong, of all domains at once', () => {
    const env = {
      ...example,
      ...FILLED,
      PORT: '70000',
      PUBLIC_MARKET: 'no',
      PLATFORM_FEE_BPS: '-1',
      SWEEP_MS: 'soon',
      DATABASE_URL: 'mysql://x',
      CORS_ORIGINS: 'here',
    };
    const refuse = () => ConfigModule.from(env);
    for (const variable of ['PORT', 'PUBLIC_MARKET', 'PLATFORM_FEE_BPS', 'SWEEP_MS', 'DATABASE_URL', 'CORS_ORIGINS']) {
      expect(refuse).toThrow(new RegExp(`^ {2}${variable}: `, 'm'));
    }
  });

  it.each([
    ['half of Clerk', { CLERK_ISSUER: 'https://clerk.example.com' }, /CLERK_JWT_KEY.*belong together/],
    [
      'the embedded identity in production unasked',
      { EMBEDDED_IDENTITY_IN_PRODUCTION: 'false' },
      /EMBEDDED_IDENTITY_IN_PRODUCTION/,
    ],
    ['an operator without a password', { OPERATOR_EMAIL: 'a@example.com' }, /OPERATOR_EMAIL/],
    ['a secrets key that is too short', { SECRETS_KEYS: 'a:c2hvcnQ=' }, /SECRETS_KEYS: .*openssl rand/],
  ])('such as %s says what to do', (_what, change, message) => {
    expect(() => ConfigModule.from({ ...example, ...FILLED, ...change })).toThrow(message);
  });
});
