import { waitFor } from '../../tools/launch/wait.mjs';
import { type FaultMarket, logIn, view, withDatabase } from './market.ts';

/**
 * Waits until the market is as wished (I11): the node was heard after `since` and is healthy, and the rental, if any, runs,
 * was probed well after it, shows no fault, and takes a new log-in.
 */
export async function untilWell(
  market: FaultMarket,
  rentalId: string | null,
  since: number,
  timeoutMs: number,
): Promise<void> {
  await waitFor('the market to be well', async () => await isWell(market, rentalId, since), {
    timeoutMs,
    intervalMs: 100,
  });
}

/** Throws with what is not well yet. */
async function isWell(market: FaultMarket, rentalId: string | null, since: number): Promise<true> {
  const facts = await withDatabase(market, async (db) => {
    const { rows } = await db.query(
      `SELECT n."status"::text, n."lastSeenAt", n."frozenAt", p."desired"::text, p."observedPhase"::text, p."observedGen", p."gen",
              s."lastOkAt", s."failingSince"
         FROM "HostNode" n
         LEFT JOIN "Placement" p ON p."nodeId" = n."id" AND p."current" AND p."rentalId" = $2
         LEFT JOIN "ProbeState" s ON s."rentalId" = p."rentalId"
        WHERE n."id" = $1`,
      [market.nodeId, rentalId],
    );
    return rows[0] ?? {};
  });
  const seen = facts['lastSeenAt'];
  if (!(seen instanceof Date) || seen.getTime() <= since) throw new Error('the node was not heard yet');
  if (!['online', 'busy'].includes(String(facts['status']))) throw new Error(`the node is ${String(facts['status'])}`);
  if (facts['frozenAt'] !== null) throw new Error('the node is frozen');
  if (rentalId === null) return true;
  if (facts['observedPhase'] !== facts['desired'])
    throw new Error(`wished ${String(facts['desired'])}, observed ${String(facts['observedPhase'])}`);
  const good = facts['lastOkAt'];
  if (!(good instanceof Date) || good.getTime() <= since || facts['failingSince'] !== null)
    throw new Error('no good probe yet');
  const rental = await view(market, rentalId);
  if (rental.status !== 'RUNNING' || rental.health !== 'ok')
    throw new Error(`the rental is ${rental.status}, ${rental.health}`);
  await logIn(market, rental, 'true');
  return true;
}
