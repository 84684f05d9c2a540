import type { GetSpec } from '@dcompute/shared-types';
import type { AgentSession } from '../agent-session.js';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Answers with the complete spec of a placement of this node, or says that there is none with that sha. */
export function answerGetSpec({ services, connection }: AgentSession, request: GetSpec): void {
  const { placement_id: placementId, spec_sha: specSha } = request;
  connection.enqueue(async () => {
    try {
      const { nodeId } = connection.session;
      const spec = UUID.test(placementId) ? await services.rentals.specFor(nodeId, placementId, specSha) : null;
      if (spec) connection.send({ event: 'spec', data: { placement_id: placementId, spec_sha: specSha, spec } });
      else connection.sendError('agent.spec_unknown', `Placement ${placementId} has no spec ${specSha} on this node.`);
    } catch (error) {
      services.logger.error('gateway.spec_failed', error, { nodeId: connection.session.nodeId });
      connection.sendError('agent.internal', `The spec of placement ${placementId} could not be read. Ask again.`);
    }
  });
}
