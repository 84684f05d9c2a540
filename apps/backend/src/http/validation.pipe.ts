import { type ArgumentMetadata, Injectable, type PipeTransform } from '@nestjs/common';
import { z } from 'zod';
import { AppError } from '../infra/index.js';
import { strictInput } from './strict-input.js';

const MAX_REPORTED = 20;

/**
 * Validates every parameter that has a schema (`@Body({ schema })`, `@Query({ schema })`, `@Param('id', { schema })`) and
 * hands on what the schema made of it. Unknown fields are refused: a misspelt `moneyCap` must not mean "no cap".
 */
@Injectable()
export class SchemaValidationPipe implements PipeTransform {
  transform(value: unknown, { schema, type, data }: ArgumentMetadata): unknown {
    if (!schema || type === 'custom') return value;
    if (!(schema instanceof z.ZodType)) throw new TypeError('schemas of routes are zod schemas');
    const parsed = strictInput(schema).safeParse(value);
    if (parsed.success) return parsed.data;
    const errors = parsed.error.issues.flatMap((issue) => describeIssue(issue, data ?? type)).slice(0, MAX_REPORTED);
    throw new AppError('request.invalid', { detail: `The request is not valid: ${summary(errors)}.`, errors });
  }
}

function describeIssue(issue: z.core.$ZodIssue, root: string): { field: string; message: string }[] {
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ field: [...path, key].join('.'), message: 'is not a field of this request' }));
  }
  return [{ field: path.join('.') || root, message: issue.message }];
}

function summary(errors: readonly { field: string; message: string }[]): string {
  return errors.map(({ field, message }) => `${field}: ${message}`).join('; ');
}
