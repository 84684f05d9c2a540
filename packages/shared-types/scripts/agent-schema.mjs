import { z } from 'zod';
import { agentToBackend, backendToAgent } from '../dist/index.js';

/**
 * The JSON Schema (draft 2020-12) of every message of the agent protocol, from the zod tables, as the sender writes it
 * (`io: 'input'`: a member with a default may be missing). Named shapes are under `$defs` by their `meta` id.
 * @returns {Record<string, unknown>}
 */
export function agentProtocolSchema() {
  const document = z.toJSONSchema(z.object({ agent: z.object(agentToBackend), backend: z.object(backendToAgent) }), {
    io: 'input',
  });
  return {
    $schema: document.$schema,
    title: 'AgentProtocol',
    description: 'Generated from packages/shared-types/src/events. Do not edit.',
    'x-events': { agentToBackend: eventNames(document, 'agent'), backendToAgent: eventNames(document, 'backend') },
    $defs: withoutImpliedPatterns(document.$defs),
  };
}

/** event name -> name of its shape */
function eventNames(document, side) {
  const events = document.properties[side].properties;
  return Object.fromEntries(
    Object.entries(events).map(([event, schema]) => [event, schema.$ref.replace('#/$defs/', '')]),
  );
}

/** `format: date-time` says it all; the pattern that zod adds cannot be put on a datetime in Python. */
function withoutImpliedPatterns(node) {
  if (Array.isArray(node)) return node.map(withoutImpliedPatterns);
  if (node === null || typeof node !== 'object') return node;
  const entries = Object.entries(node).filter(([key]) => !(key === 'pattern' && node.format === 'date-time'));
  return Object.fromEntries(entries.map(([key, value]) => [key, withoutImpliedPatterns(value)]));
}
