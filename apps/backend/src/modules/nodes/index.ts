export { NodesModule } from './nodes.module.js';
export { NodesService, type NodeFence } from './nodes.service.js';
export { NodeSessions, type NodePulse, type NodeSession } from './node-sessions.service.js';
export { NodeHealth, type NodeSeen } from './node-health.service.js';
export { HostKeysService } from './host-keys.service.js';
export { AgentRefusal } from './agent-refusal.js';
