import type { Queryable } from '../../infra/index.js';

/** The parts of the platform whose liveness is recorded, as `PlatformWindow.component` names them. */
export const PLATFORM_COMPONENT = {
  /** At least one gateway replica could hear its nodes. */
  gateways: 'backend',
  guard: (proxyServerId: string): string => `guard:${proxyServerId}`,
} as const;

/** Says that a gateway is alive at `now`. Silence up to `bridgeMs` is no outage: no heartbeat's cover ran out meanwhile. */
export async function recordGatewayAlive(db: Queryable, now: Date, bridgeMs: number): Promise<void> {
  await db.query(
    `WITH extended AS (
       UPDATE "PlatformWindow" w SET "toAt" = greatest(w."toAt", $2)
         FROM (SELECT "id" FROM "PlatformWindow" WHERE "component" = $1 ORDER BY "fromAt" DESC LIMIT 1) newest
        WHERE w."id" = newest."id" AND w."toAt" >= $3 RETURNING w."id"
     )
     INSERT INTO "PlatformWindow" ("component", "fromAt", "toAt")
     SELECT $1, $2, $2 WHERE NOT EXISTS (SELECT FROM extended)`,
    [PLATFORM_COMPONENT.gateways, now, new Date(now.getTime() - bridgeMs)],
  );
}

/** Since when gateways have been up without an outage; null while none is. */
export async function findGatewaysUpSince(db: Queryable, now: Date, bridgeMs: number): Promise<Date | null> {
  const [window] = await db.query<{ fromAt: Date; toAt: Date }>(
    `SELECT "fromAt", "toAt" FROM "PlatformWindow" WHERE "component" = $1 ORDER BY "fromAt" DESC LIMIT 1`,
    [PLATFORM_COMPONENT.gateways],
  );
  return window && window.toAt.getTime() >= now.getTime() - bridgeMs ? window.fromAt : null;
}
