import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { Problem } from '@dcompute/shared-types';
import { z } from 'zod';
import { OPEN_OPERATION } from '../infra/index.js';
import { strictInput } from './strict-input.js';

const DESCRIPTION = [
  'Rent GPUs and other compute, or provide them.',
  'Amounts are decimal strings in dollars. Lists come in pages: pass `nextCursor` as `cursor`.',
  'Every error is RFC 9457 problem details with a stable `code`.',
].join(' ');

type SchemaObject = NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>[string];

type Operation = NonNullable<OpenAPIObject['paths'][string]['get']>;

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
  return withCommonRules(onlyApi(document));
}

/** `RentalsController.create` is `rentals_create`. */
function operationId(controller: string, method: string): string {
  const noun = controller.replace(/Controller$/, '');
  return `${noun.charAt(0).toLowerCase()}${noun.slice(1)}_${method}`;
}

/** A zod schema as JSON Schema 2020-12, which OpenAPI 3.1 speaks; schemas with an id become components. */
function convertSchema(schema: z.ZodType, io: 'input' | 'output') {
  const { $defs = {}, ...root } = z.toJSONSchema(io === 'input' ? strictInput(schema) : schema, {
    target: 'draft-2020-12',
    io,
    unrepresentable: 'any',
    override: ({ jsonSchema }) => simplify(jsonSchema, io),
  });
  const components = Object.fromEntries(
    Object.entries($defs).map(([name, definition]) => [name, asOpenApi(definition)]),
  );
  return { schema: asOpenApi(root), components };
}

/** A format says enough without its pattern, and an answer may grow fields in a later version. */
function simplify(schema: z.core.JSONSchema.BaseSchema, io: 'input' | 'output'): void {
  if (schema.format !== undefined) delete schema.pattern;
  if (io === 'output' && schema.additionalProperties === false) delete schema.additionalProperties;
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

/** What holds for every operation by rule: how it answers errors, whether it is open, the key that every create takes. */
function withCommonRules(document: OpenAPIObject): OpenAPIObject {
  const { schema, components } = withComponentReferences(convertSchema(Problem, 'output'));
  const problem = { description: 'Any error', content: { 'application/problem+json': { schema } } };
  for (const path of Object.values(document.paths)) {
    for (const method of METHODS) {
      const operation = path[method];
      if (!operation) continue;
      operation.responses = { ...operation.responses, default: problem };
      const open = takeMark(operation);
      if (open) operation.security = [];
      else if (method === 'post' && '201' in operation.responses) addIdempotencyKey(operation);
    }
  }
  return {
    ...document,
    components: { ...document.components, schemas: { ...document.components?.schemas, ...components } },
  };
}

/** The explorer of routes rewrites references by itself; what is added by hand needs the same. */
function withComponentReferences<T>(converted: T): T {
  return JSON.parse(JSON.stringify(converted).replaceAll('#/$defs/', '#/components/schemas/')) as T;
}

/** Whether `@Public()` marked the operation; the mark itself is no part of the document. */
function takeMark(operation: Operation): boolean {
  const marks: Record<string, unknown> = operation as object as Record<string, unknown>;
  const open = marks[OPEN_OPERATION] === true;
  delete marks[OPEN_OPERATION];
  return open;
}

function addIdempotencyKey(operation: Operation): void {
  const others = (operation.parameters ?? []).filter(
    (parameter) => !('name' in parameter && parameter.name.toLowerCase() === 'idempotency-key'),
  );
  operation.parameters = [
    ...others,
    {
      name: 'Idempotency-Key',
      in: 'header',
      required: true,
      description: 'A value of your own, such as a UUID. The same request under the same key has one effect.',
      schema: { type: 'string', minLength: 1, maxLength: 255 },
    },
  ];
}
