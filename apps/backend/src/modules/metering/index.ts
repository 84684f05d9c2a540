export { MeteringModule } from './metering.module.js';
export { MeteringService, type EvidenceBatch } from './metering.service.js';
export { type Beat, type BeatSpan, foldBeat } from './beat-span.js';
export { PLATFORM_COMPONENT } from './platform-liveness.js';
