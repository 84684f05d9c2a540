export * from './tunnels.module.js';
export * from './tunnels.service.js';
