export * from './rounding.js';
export * from './fee.js';
export * from './hold.js';
