import { Module, StandardSchemaSerializerInterceptor } from '@nestjs/common';
import { APP_FILTER, APP_INTERCEPTOR, APP_PIPE } from '@nestjs/core';
import { HealthController } from './health.controller.js';
import { OpenApiController, OpenApiDocument } from './openapi.controller.js';
import { ProblemFilter } from './problem.filter.js';
import { RateLimits } from './rate-limits.js';
import { Readiness } from './readiness.js';
import { SchemaValidationPipe } from './validation.pipe.js';

/** What holds for every route: validation, serialization, errors, limits; and health and the API's document. */
@Module({
  controllers: [HealthController, OpenApiController],
  providers: [
    Readiness,
    OpenApiDocument,
    RateLimits,
    { provide: APP_FILTER, useClass: ProblemFilter },
    { provide: APP_PIPE, useClass: SchemaValidationPipe },
    { provide: APP_INTERCEPTOR, useExisting: RateLimits },
    { provide: APP_INTERCEPTOR, useClass: StandardSchemaSerializerInterceptor },
  ],
})
export class HttpModule {}
