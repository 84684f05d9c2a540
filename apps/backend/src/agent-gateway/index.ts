export { AgentGatewayModule } from './agent-gateway.module.js';
export { AgentGateway, AGENT_PATH } from './agent-gateway.js';
