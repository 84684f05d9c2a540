import { Controller, Get, Inject, Injectable } from '@nestjs/common';
import { ApiExcludeController, type OpenAPIObject } from '@nestjs/swagger';

/** Holds the document, which can only be made when the application with all its routes exists. */
@Injectable()
export class OpenApiDocument {
  current: OpenAPIObject | null = null;
}

@Controller('api')
@ApiExcludeController()
export class OpenApiController {
  constructor(@Inject(OpenApiDocument) private readonly document: OpenApiDocument) {}

  @Get('openapi.json')
  read(): OpenAPIObject {
    if (!this.document.current) throw new Error('the OpenAPI document is made before the first request');
    return this.document.current;
  }
}
