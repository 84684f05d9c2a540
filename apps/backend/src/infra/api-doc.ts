import { SerializeOptions, applyDecorators } from '@nestjs/common';
import { ApiResponse } from '@nestjs/swagger';
import type { z } from 'zod';

/**
 * What a route answers with: documents it in OpenAPI, and lets through only the fields that the schema names, so that a
 * column added to a query never leaks. `status` is 200 unless given (201 for a create).
 */
export function Returns(schema: z.ZodType, status = 200): MethodDecorator {
  return applyDecorators(
    SerializeOptions({ schema }),
    ApiResponse({ status, standardSchema: schema, description: schema.meta()?.id ?? 'The answer' }),
  );
}

/** A route that answers 204 without a body. */
export function ReturnsNothing(): MethodDecorator {
  return ApiResponse({ status: 204, description: 'Done' });
}
