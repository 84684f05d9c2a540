import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { Problem } from '@dcompute/shared-types';
import { z } from 'zod';
import { strictInput } from './strict-input.js';

const DESCRIPTION = [
  'Rent GPUs and other compute, or provide them.',
  'Amounts are decimal strings in dollars. Lists come in pages: pass `nextCursor` as `cursor`.',
  'Every error is RFC 9457 problem details with a stable `code`.',
].join(' ');

type SchemaObject = NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>[string];

const METHODS = ['get', 'put', 'post', 'delete', 'patch'] as const;

/** The OpenAPI 3.1 document of every `/api` route, from the zod schemas that validate and serialize them. */
export function buildOpenApi(app: INestApplication, publicUrl: string): OpenAPIObject {
  const config = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('DistributedCompute')
    .setDescription(DESCRIPTION)
    .setVersion('1')
    .addServer(publicUrl)
    .addBearerAuth({ type: 'http', scheme: 'bearer', description: 'A session token or an API key' }, 'bearer')
    .addSecurityRequirements('bearer')
    .build();
  const document = SwaggerModule.createDocument(app, config, {
    operationIdFactory: operationId,
    standardSchemaConverter: (schema, { schemaType }) =>
      schema instanceof z.ZodType ? convertSchema(schema, schemaType === 'output' ? 'output' : 'input') : undefined,
  });
  return withProblems(onlyApi(document));
}

/** `RentalsController.create` is `rentals_create`. */
function operationId(controller: string, method: string): string {
  const noun = controller.replace(/Controller$/, '');
  return `${noun.charAt(0).toLowerCase()}${noun.slice(1)}_${method}`;
}

/** A zod schema as JSON Schema 2020-12, which OpenAPI 3.1 speaks; schemas with an id become components. */
function convertSchema(schema: z.ZodType, io: 'input' | 'output') {
  const source = io === 'input' ? strictInput(schema) : schema;
  const { $defs = {}, ...root } = z.toJSONSchema(source, { target: 'draft-2020-12', io, unrepresentable: 'any' });
  const components = Object.fromEntries(
    Object.entries($defs).map(([name, definition]) => [name, asOpenApi(definition)]),
  );
  const id = schema.meta()?.id;
  if (id === undefined || io === 'input') return { schema: asOpenApi(root), components };
  return { schema: { $ref: `#/components/schemas/${id}` }, components: { ...components, [id]: asOpenApi(root) } };
}

/** The same schema without what has no meaning inside a document; the two libraries' types differ, the format does not. */
function asOpenApi(schema: z.core.JSONSchema.BaseSchema): SchemaObject {
  const { $schema: _dialect, id: _id, '~standard': _standard, ...rest } = schema;
  return rest as SchemaObject;
}

/** Health checks and what guards and agents use are no part of the public interface. */
function onlyApi(document: OpenAPIObject): OpenAPIObject {
  const paths = Object.entries(document.paths).filter(([path]) => path.startsWith('/api/'));
  return { ...document, paths: Object.fromEntries(paths) };
}

function withProblems(document: OpenAPIObject): OpenAPIObject {
  const { schema, components } = convertSchema(Problem, 'output');
  const problem = { description: 'Any error', content: { 'application/problem+json': { schema } } };
  for (const path of Object.values(document.paths)) {
    for (const method of METHODS) {
      const operation = path[method];
      if (operation) operation.responses = { ...operation.responses, default: problem };
    }
  }
  return {
    ...document,
    components: { ...document.components, schemas: { ...document.components?.schemas, ...components } },
  };
}
