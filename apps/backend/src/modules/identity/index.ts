export { IdentityModule } from './identity.module.js';
export { AccountsService, type AccountRow } from './accounts.service.js';
