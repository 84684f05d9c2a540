export * from './rounding.js';
export * from './fee.js';
export * from './hold.js';
export * from './postings.js';
export * from './ledger.service.js';
export * from './ledger.module.js';
