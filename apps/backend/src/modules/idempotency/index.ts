export { IdempotencyModule } from './idempotency.module.js';
export { IdempotencyService, type IdempotentRequest } from './idempotency.service.js';
