export { RentalsModule } from './rentals.module.js';
export { RentalLife } from './life/rental-life.js';
export { RentalSweeper } from './sweep/rental-sweeper.js';
export { AgentRentals } from './agent/agent-rentals.service.js';
