import { z } from 'zod';

const strict = new WeakMap<z.ZodType, z.ZodType>();

/** The schema of a request: an object whose schema does not say what unknown fields mean refuses them. */
export function strictInput(schema: z.ZodType): z.ZodType {
  if (!(schema instanceof z.ZodObject) || schema.def.catchall !== undefined) return schema;
  const known = strict.get(schema) ?? schema.strict();
  strict.set(schema, known);
  return known;
}
