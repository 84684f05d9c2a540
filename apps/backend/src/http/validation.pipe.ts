import { type ArgumentMetadata, Injectable, type PipeTransform } from '@nestjs/common';
import { z } from 'zod';
import { AppError } from '../infra/index.js';
import { strictInput } from './strict-input.js';

const MAX_REPORTED = 20;

/**
 * Validates every parameter that has a schema (`@Body({ schema })`, `@Query({ schema })`, `@Param('id', { schema })`) and
 * hands on what the schema made of it. Unknown fields are refused: a misspelt `moneyCap` must not mean "no cap". So is text
 * that the database cannot store.
 */
@Injectable()
export class SchemaValidationPipe implements PipeTransform {
  transform(value: unknown, { schema, type, data }: ArgumentMetadata): unknown {
    if (!schema || type === 'custom') return value;
    if (!(schema instanceof z.ZodType)) throw new TypeError('schemas of routes are zod schemas');
    const parsed = strictInput(schema).safeParse(value);
    const errors = parsed.success
      ? findUnstorable(parsed.data, data === undefined ? [] : [data], type)
      : parsed.error.issues.flatMap((issue) => describeIssue(issue, data ?? type)).slice(0, MAX_REPORTED);
    if (parsed.success && errors.length === 0) return parsed.data;
    throw new AppError('request.invalid', { detail: `The request is not valid: ${summary(errors)}.`, errors });
  }
}

interface FieldError {
  readonly field: string;
  readonly message: string;
}

/** Fields whose text PostgreSQL would refuse: a NUL, or half of a surrogate pair. As deep as the schema, which was met. */
function findUnstorable(value: unknown, path: readonly string[], root: string): FieldError[] {
  if (typeof value === 'string') {
    if (value.isWellFormed() && !value.includes('\0')) return [];
    return [{ field: path.join('.') || root, message: 'has a character that is no text' }];
  }
  if (value === null || typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([key, item]) => findUnstorable(item, [...path, key], root));
}

function describeIssue(issue: z.core.$ZodIssue, root: string): FieldError[] {
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ field: [...path, key].join('.'), message: 'is not a field of this request' }));
  }
  return [{ field: path.join('.') || root, message: issue.message }];
}

function summary(errors: readonly FieldError[]): string {
  return errors.map(({ field, message }) => `${field}: ${message}`).join('; ');
}
