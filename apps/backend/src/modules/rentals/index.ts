export { RentalsModule } from './rentals.module.js';
export { RentalsService } from './rentals.service.js';
export { RentalLife } from './life/rental-life.js';
export { RentalSweeper } from './sweep/rental-sweeper.js';
export { AgentRentals } from './agent/agent-rentals.service.js';
export type { DesiredList } from './agent/desired-list.js';
export type { Hint } from './agent/hints.js';
