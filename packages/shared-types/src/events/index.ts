export * from './instance.js';
export * from './usage.js';
export * from './agent-messages.js';
export * from './backend-messages.js';
export * from './envelope.js';
export * from './canonical-json.js';
export * from './instance-spec-text.js';
