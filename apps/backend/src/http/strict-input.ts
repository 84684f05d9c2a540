import { z } from 'zod';

const strict = new WeakMap<z.ZodType, z.ZodType>();

/** The schema of a request: an object whose schema does not say what unknown fields mean refuses them. */
export function strictInput(schema: z.ZodType): z.ZodType {
  if (!(schema instanceof z.ZodObject) || schema.def.catchall !== undefined) return schema;
  const known = strict.get(schema) ?? withMeta(schema.strict(), schema);
  strict.set(schema, known);
  return known;
}

/** A copy of a schema loses its name, which the OpenAPI document needs. */
function withMeta(copy: z.ZodType, original: z.ZodType): z.ZodType {
  const meta = original.meta();
  return meta ? copy.meta(meta) : copy;
}
