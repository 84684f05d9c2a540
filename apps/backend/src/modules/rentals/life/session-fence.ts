import type { Tx } from '../../../infra/index.js';
import type { NodeFence } from '../../nodes/index.js';

/** Thrown where a node has a newer session than the one that writes: the transaction has to be rolled back. */
export class FencedError extends Error {
  constructor(fence: NodeFence) {
    super(`session ${fence.sessionEpoch} of node ${fence.nodeId} is over`);
    this.name = 'FencedError';
  }
}

/** Locks the node's row, so that no newer session begins before the commit. Throws a FencedError when one has begun. */
export async function assertSession(tx: Tx, fence: NodeFence): Promise<void> {
  const [session] = await tx.query(
    `SELECT "id" FROM "HostNode" WHERE "id" = $1 AND "sessionEpoch" = $2 FOR NO KEY UPDATE`,
    [fence.nodeId, fence.sessionEpoch],
  );
  if (!session) throw new FencedError(fence);
}
