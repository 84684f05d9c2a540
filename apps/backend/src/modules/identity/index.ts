export { IdentityModule } from './identity.module.js';
export { AccountsService } from './accounts.service.js';
