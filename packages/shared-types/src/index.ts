export * from './entities/index.js';
export * from './events/index.js';
export * from './api/index.js';
