export * from './offers.module.js';
export * from './offers.service.js';
export * from './price.js';
export * from './shapes.js';
