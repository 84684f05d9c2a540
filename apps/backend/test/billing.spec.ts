import type { Balance, Rental } from '@dcompute/shared-types';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SYSTEM_USER_ID } from '../src/modules/ledger/index.js';
import { type Market, type Renter, type TestNode, openMarket } from './market.js';

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market?.close());

const MINUTE_MS = 60_000;

interface Running {
  readonly renter: Renter;
  readonly node: TestNode;
  readonly rental: Rental;
}

/** A rental that runs since now, of one core: one dollar an hour. */
async function running(money = '100', more: Parameters<Renter['rent']>[1] = {}): Promise<Running> {
  const [renter, node] = await Promise.all([market.renter(money), market.node()]);
  const rental = await renter.rent((await market.offersOf(node))[0]?.id ?? '', more);
  await node.run(rental);
  return { renter, node, rental };
}

const viewOf = ({ renter, rental }: Running) => renter.client.get<Rental>(`/api/v1/rentals/${rental.id}`);
const stop = ({ renter, rental }: Running) => renter.client.post<Rental>(`/api/v1/rentals/${rental.id}/stop`);

/** What a time costs at one dollar an hour, as the API writes it. */
const cost = (ms: number): string => (Math.floor((ms * 1_000_000) / 3_600_000) / 1_000_000).toFixed(6);

/** Ends the time for late evidence and settles. */
async function settle(): Promise<void> {
  market.advance(2 * MINUTE_MS);
  await market.billing.settle();
}

describe('a running rental', () => {
  it('pays its rate for proven time: the host gets what the renter pays, less the fee, to the micro-dollar', async () => {
    const it = await running();
    const paid = [];
    for (let minute = 1; minute <= 3; minute += 1) {
      await it.node.prove(it.rental, MINUTE_MS);
      await market.billing.tick();
      const { chargedTotal, billableMs } = await viewOf(it);
      paid.push([chargedTotal, billableMs]);
    }
    expect(paid).toEqual([
      [cost(MINUTE_MS), MINUTE_MS],
      [cost(2 * MINUTE_MS), 2 * MINUTE_MS],
      [cost(3 * MINUTE_MS), 3 * MINUTE_MS],
    ]);
    const { pendingEarnings } = await it.node.host.client.get<Balance>('/api/v1/balance');
    const fee = await market.value(
      `SELECT sum(t."amount") FROM "Transaction" t JOIN "LedgerAccount" a ON a."id" = t."ledgerAccountId"
        WHERE a."kind" = 'platform_fee' AND t."referenceId" = $1`,
      [it.rental.id],
    );
    expect(Number(pendingEarnings) + Number(fee)).toBeCloseTo(0.05, 9);
    expect(Number(fee)).toBeLessThanOrEqual(0.15 * 0.05);
    expect(await market.balanceOf(it.renter)).toMatchObject({ held: '0.166666' });
    expect(await market.brokenInvariants()).toEqual([]);
  });

  it('pays nothing for the time before the first good probe, however long that was', async () => {
    const [renter, node] = await Promise.all([market.renter(), market.node()]);
    const rental = await renter.rent((await market.offersOf(node))[0]?.id ?? '');
    const fromMs = market.nowMs();
    await node.say(rental, 'pulling');
    market.advance(30 * MINUTE_MS);
    await node.beat(fromMs, market.nowMs());
    await node.meter([await node.segment(rental, fromMs, market.nowMs())]);
    await market.billing.tick();
    await node.run(rental);
    await market.billing.tick();
    expect(await viewOf({ renter, node, rental })).toMatchObject({ status: 'RUNNING', chargedTotal: '0.000000' });
  });

  it('pays for no time that one of the witnesses does not confirm', async () => {
    const silent = await running();
    const noSsh = await running();
    const notMetered = await running();
    const fromMs = market.nowMs();
    market.advance(10 * MINUTE_MS);
    const toMs = market.nowMs();
    for (const { node } of [noSsh, notMetered]) await node.beat(fromMs, toMs);
    for (const { node, rental } of [silent, noSsh]) await node.meter([await node.segment(rental, fromMs, toMs)]);
    for (const { node, rental } of [silent, notMetered]) {
      for (let at = fromMs; at < toMs; at += 30_000) await node.probe(rental, true, at);
    }
    await market.billing.tick();
    // A heartbeat covers 30 s more, a good probe 90 s.
    expect(await viewOf(silent)).toMatchObject({ billableMs: 30_000 });
    expect(await viewOf(noSsh)).toMatchObject({ billableMs: 90_000 });
    expect(await viewOf(notMetered)).toMatchObject({ billableMs: 0 });
  });

  it('pays once when ticks come at the same time, and nothing when nothing is new', async () => {
    const it = await running();
    await it.node.prove(it.rental, MINUTE_MS);
    await Promise.all(Array.from({ length: 6 }, () => market.billing.tick()));
    await market.billing.tick();
    expect(await viewOf(it)).toMatchObject({ chargedTotal: cost(MINUTE_MS) });
    expect(await market.value(`SELECT "chargeSeq" FROM "Rental" WHERE "id" = $1`, [it.rental.id])).toBe('1');
    expect(await market.brokenInvariants()).toEqual([]);
  });

  it('does not keep the others from being billed when it cannot be', async () => {
    const [bad, good] = [await running(), await running()];
    await bad.node.prove(bad.rental, MINUTE_MS);
    await good.node.prove(good.rental, MINUTE_MS);
    // Some other entry has the key of its first charge.
    const system = { userId: SYSTEM_USER_ID, amount: '1' };
    const postings = [
      { ...system, kind: 'platform_promotions', type: 'DEBIT' },
      { ...system, kind: 'platform_fee', type: 'CREDIT' },
    ];
    await market.backend.db.query(`SELECT ledger_post($1, 'other', 'credit_grant', NULL, NULL, NULL, $2)`, [
      `usage:${bad.rental.id}:1`,
      JSON.stringify(postings),
    ]);
    await market.billing.tick();
    expect(await viewOf(good)).toMatchObject({ chargedTotal: cost(MINUTE_MS) });
    expect(await viewOf(bad)).toMatchObject({ chargedTotal: '0.000000' });
    await market.backend.db.query(`UPDATE "Rental" SET "chargeSeq" = 1 WHERE "id" = $1`, [bad.rental.id]);
    await market.billing.tick();
    expect(await viewOf(bad)).toMatchObject({ chargedTotal: cost(MINUTE_MS) });
  });
});

describe('a stopped rental', () => {
  it('pays nothing after the decision, also when its container goes on and proves it', async () => {
    const it = await running();
    await it.node.prove(it.rental, MINUTE_MS);
    await stop(it);
    await it.node.prove(it.rental, 10 * MINUTE_MS);
    await market.billing.tick();
    await settle();
    const view = await viewOf(it);
    expect(view).toMatchObject({ chargedTotal: cost(MINUTE_MS), billableMs: MINUTE_MS });
    expect(view.settledAt).toBe(new Date(market.nowMs()).toISOString());
    const balance = await market.balanceOf(it.renter);
    expect(balance.held).toBe('0.000000');
    expect(Number(balance.available)).toBeCloseTo(100 - Number(cost(MINUTE_MS)), 9);
    expect(await market.brokenInvariants()).toEqual([]);
  });

  it('waits for late evidence before it is settled, and takes none after that', async () => {
    const it = await running();
    const fromMs = market.nowMs();
    market.advance(MINUTE_MS);
    const late = await it.node.segment(it.rental, fromMs, fromMs + 40_000);
    const tooLate = await it.node.segment(it.rental, fromMs + 40_000, fromMs + MINUTE_MS);
    await it.node.beat(fromMs, market.nowMs());
    await stop(it);
    market.advance(MINUTE_MS);
    await market.billing.settle();
    expect(await viewOf(it)).toMatchObject({ chargedTotal: '0.000000', settledAt: null });
    await it.node.meter([late, late]);
    market.advance(MINUTE_MS);
    await market.billing.settle();
    expect(await viewOf(it)).toMatchObject({ chargedTotal: cost(40_000), settledAt: expect.any(String) });
    await it.node.meter([tooLate]);
    await settle();
    await market.billing.tick();
    expect(await viewOf(it)).toMatchObject({ chargedTotal: cost(40_000), billableMs: 40_000 });
  });

  it('pays for each of its running times when it is started again, and for nothing in between', async () => {
    const it = await running();
    await it.node.prove(it.rental, MINUTE_MS);
    await stop(it);
    await it.node.say(it.rental, 'stopped');
    await it.node.prove(it.rental, 5 * MINUTE_MS);
    await market.billing.settle();
    await it.renter.client.post(`/api/v1/rentals/${it.rental.id}/start`);
    market.advance(MINUTE_MS);
    await it.node.run(it.rental);
    await it.node.prove(it.rental, 2 * MINUTE_MS);
    await market.billing.tick();
    expect(await viewOf(it)).toMatchObject({ billableMs: 3 * MINUTE_MS, chargedTotal: cost(3 * MINUTE_MS) });
    await stop(it);
    await settle();
    expect(await viewOf(it)).toMatchObject({ chargedTotal: cost(3 * MINUTE_MS) });
    expect(await market.brokenInvariants()).toEqual([]);
  });

  it('is settled once, also when two do it at the same time', async () => {
    const it = await running();
    await it.node.prove(it.rental, MINUTE_MS);
    await stop(it);
    market.advance(2 * MINUTE_MS);
    await Promise.all(Array.from({ length: 4 }, () => market.billing.settle()));
    const settled = `SELECT count(*) FROM "RentalEvent" WHERE "rentalId" = $1 AND "type" = 'settled'`;
    expect(await market.value(settled, [it.rental.id])).toBe('1');
    expect(await market.brokenInvariants()).toEqual([]);
  });
});

describe('money that ends', () => {
  /** Minutes go by, all proven, with a tick after each, until the rental is stopped. */
  async function runOut(it: Running): Promise<Rental> {
    for (let minute = 0; minute < 30; minute += 1) {
      await it.node.prove(it.rental, MINUTE_MS);
      await market.billing.tick();
      const view = await viewOf(it);
      if (view.status !== 'RUNNING') return view;
    }
    throw new Error('the rental was never stopped');
  }

  it('stops a rental before its cap, which is never exceeded', async () => {
    const it = await running('100', { moneyCap: '0.05' });
    const stopped = await runOut(it);
    expect(stopped).toMatchObject({ status: 'STOPPING', endReason: 'money_cap_reached' });
    await it.node.prove(it.rental, MINUTE_MS);
    await settle();
    const { chargedTotal } = await viewOf(it);
    expect(Number(chargedTotal)).toBeGreaterThan(0.03);
    expect(Number(chargedTotal)).toBeLessThanOrEqual(0.05);
    expect((await market.balanceOf(it.renter)).held).toBe('0.000000');
  });

  it('stops a rental while its hold still pays for all that is proven', async () => {
    const it = await running('0.2');
    const stopped = await runOut(it);
    expect(stopped).toMatchObject({ status: 'STOPPING', endReason: 'balance_exhausted' });
    await settle();
    const { chargedTotal, billableMs } = await viewOf(it);
    expect(chargedTotal).toBe(cost(billableMs));
    const { available, held } = await market.balanceOf(it.renter);
    expect(held).toBe('0.000000');
    expect(Number(available) + Number(chargedTotal)).toBeCloseTo(0.2, 9);
    expect(await market.brokenInvariants()).toEqual([]);
  });

  it('never takes a balance below zero: what hold and balance do not cover is not charged', async () => {
    const it = await running('0.17');
    await it.node.prove(it.rental, 60 * MINUTE_MS);
    await market.billing.tick();
    const view = await viewOf(it);
    expect(view).toMatchObject({ status: 'STOPPING', endReason: 'balance_exhausted', chargedTotal: '0.170000' });
    expect(await market.balanceOf(it.renter)).toMatchObject({ available: '0.000000', held: '0.000000' });
    expect(await market.brokenInvariants()).toEqual([]);
  });
});
