import type { LedgerInvariant } from '@dcompute/shared-types';
import type { Queryable } from '../../infra/index.js';

/** One statement per invariant: it counts what breaks it, so zero is well. */
const CHECKS: readonly { readonly id: string; readonly says: string; readonly sql: string }[] = [
  {
    id: 'I1',
    says: 'every entry has credits equal to debits',
    sql: `SELECT count(*) FROM (
            SELECT FROM "Transaction" GROUP BY "entryId"
            HAVING sum(CASE "type" WHEN 'CREDIT' THEN "amount" ELSE -"amount" END) <> 0) broken`,
  },
  {
    id: 'I2',
    says: 'every balance is the sum of its transactions, and User.balance mirrors renter_available',
    sql: `SELECT (SELECT count(*) FROM "LedgerAccount" a
                   WHERE a."balance" <> coalesce((SELECT sum(CASE t."type" WHEN 'CREDIT' THEN t."amount" ELSE -t."amount" END)
                                                    FROM "Transaction" t WHERE t."ledgerAccountId" = a."id"), 0))
               + (SELECT count(*) FROM "User" u
                   LEFT JOIN "LedgerAccount" a ON a."userId" = u."id" AND a."kind" = 'renter_available'
                   WHERE u."balance" <> coalesce(a."balance", 0))
               + (SELECT count(*) FROM (
                   SELECT r."renterId", sum(h."amount") AS held FROM "Hold" h JOIN "Rental" r ON r."id" = h."rentalId"
                    GROUP BY r."renterId") holds
                   LEFT JOIN "LedgerAccount" a ON a."userId" = holds."renterId" AND a."kind" = 'renter_held'
                   WHERE holds.held <> coalesce(a."balance", 0))`,
  },
  {
    id: 'I3',
    says: 'no balance of a renter or host is below zero',
    sql: `SELECT count(*) FROM "LedgerAccount"
           WHERE "balance" < 0 AND "kind" IN ('renter_available', 'renter_held', 'host_pending', 'host_payable')`,
  },
  {
    id: 'I4',
    says: 'every idempotency key has one entry, and every entry its transactions',
    sql: `SELECT (SELECT count(*) FROM (SELECT FROM "LedgerEntry" GROUP BY "idempotencyKey" HAVING count(*) > 1) twice)
               + (SELECT count(*) FROM "LedgerEntry" e
                   WHERE NOT EXISTS (SELECT FROM "Transaction" t WHERE t."entryId" = e."id"))`,
  },
  {
    id: 'I5',
    says: 'rows only grow: the triggers that refuse changes of ledger rows are in force',
    sql: `SELECT 2 - count(*) FROM pg_trigger
           WHERE "tgname" IN ('Transaction_immutable', 'LedgerEntry_immutable') AND "tgenabled" = 'O'`,
  },
  {
    id: 'I8',
    says: "every charge is the host's part plus the fee, and what was charged is what was posted",
    sql: `SELECT (SELECT count(*) FROM (
                    SELECT FROM "LedgerEntry" e JOIN "Transaction" t ON t."entryId" = e."id"
                      JOIN "LedgerAccount" a ON a."id" = t."ledgerAccountId"
                     WHERE e."kind" = 'usage' GROUP BY e."id"
                    HAVING sum(t."amount") FILTER (WHERE t."type" = 'DEBIT' AND a."kind" = 'renter_held')
                        <> sum(t."amount") FILTER (WHERE t."type" = 'CREDIT' AND a."kind" IN ('host_pending', 'platform_fee'))) broken)
               + (SELECT count(*) FROM "Rental" r
                   WHERE r."chargedTotal" <> coalesce((SELECT sum(t."amount") FROM "LedgerEntry" e
                           JOIN "Transaction" t ON t."entryId" = e."id" AND t."type" = 'DEBIT'
                          WHERE e."kind" = 'usage' AND e."referenceId" = r."id"::text), 0))`,
  },
  {
    id: 'I9',
    says: 'one rental per GPU, one lease per port, and free capacity is what is not allocated',
    sql: `SELECT (SELECT count(*) FROM (SELECT FROM "GpuAllocation" WHERE "releasedAt" IS NULL AND "state" <> 'claimed'
                    GROUP BY "nodeId", "gpuUuid" HAVING count(*) > 1) twice)
               + (SELECT count(*) FROM (SELECT FROM "PortLease" WHERE "releasedAt" IS NULL AND "port" IS NOT NULL
                    GROUP BY "proxyServerId", "port" HAVING count(*) > 1) twice)
               + (SELECT count(*) FROM "NodeCapacity" c
                   LEFT JOIN LATERAL (
                     SELECT coalesce(sum("cpuMillicores") FILTER (WHERE "computeReleasedAt" IS NULL), 0) AS cpu,
                            coalesce(sum("ramMib") FILTER (WHERE "computeReleasedAt" IS NULL), 0) AS ram,
                            coalesce(sum("diskGib"), 0) AS disk
                       FROM "CapacityAllocation" a WHERE a."nodeId" = c."nodeId" AND a."diskReleasedAt" IS NULL) used ON true
                   WHERE c."freeCpuMillicores" <> greatest(c."totalCpuMillicores" - used.cpu, 0)
                      OR c."freeRamMib" <> greatest(c."totalRamMib" - used.ram, 0)
                      OR c."freeDiskGib" <> greatest(c."totalDiskGib" - used.disk, 0))`,
  },
];

/** Runs every check in one statement, hence in one snapshot: money that moves meanwhile breaks nothing. */
export async function checkInvariants(db: Queryable): Promise<LedgerInvariant[]> {
  const columns = CHECKS.map((check) => `(${check.sql})::text AS "${check.id}"`).join(', ');
  const [row] = await db.query<Record<string, string>>(`SELECT ${columns}`);
  return CHECKS.map(({ id, says }) => {
    const broken = row?.[id] ?? 'not counted';
    return { id, ok: broken === '0', detail: broken === '0' ? says : `broken ${broken} times: ${says}` };
  });
}
