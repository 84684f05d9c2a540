import type { Rental } from '@dcompute/shared-types';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { foldBeat, type BeatSpan } from '../src/modules/metering/index.js';
import { type Market, type Renter, type TestNode, openMarket } from './market.js';

let market: Market;
let renter: Renter;
let node: TestNode;
let offerId: string;
beforeAll(async () => {
  market = await openMarket();
  [renter, node] = [await market.renter('1000'), await market.node()];
  offerId = (await market.offersOf(node))[0]?.id ?? '';
});
afterAll(() => market?.close());

/** One schedule: what happens in the ten minutes after a rental is ready. All in seconds, so that a model can count. */
interface Schedule {
  /** Heartbeats every 5 s, so many times, and silence after them. */
  readonly beats: { readonly times: number; readonly silence: number }[];
  /** Running segments one after the other; one in a while was never made. */
  readonly segments: {
    readonly length: number;
    readonly made: boolean;
    readonly delay: number;
    readonly copies: number;
  }[];
  /** Probes one after the other. */
  readonly probes: { readonly after: number; readonly ok: boolean; readonly delay: number; readonly copies: number }[];
  readonly stopAt: number;
  readonly ticks: number[];
  /** After how many beats a gateway writes what it heard. */
  readonly flushEvery: number;
}

const END = 600;
/** Evidence comes at most so late, and in time for the settlement. */
const LATEST = 110;
const delay = fc.nat({ max: LATEST });
const copies = fc.integer({ min: 1, max: 3 });
const often = fc.integer({ min: 0, max: 5 }).map((draw) => draw > 0);
const schedules: fc.Arbitrary<Schedule> = fc.record({
  beats: fc.array(fc.record({ times: fc.integer({ min: 1, max: 20 }), silence: fc.integer({ min: 5, max: 90 }) }), {
    minLength: 3,
    maxLength: 12,
  }),
  segments: fc.array(fc.record({ length: fc.integer({ min: 5, max: 60 }), made: often, delay, copies }), {
    minLength: 15,
    maxLength: 25,
  }),
  probes: fc.array(fc.record({ after: fc.integer({ min: 10, max: 60 }), ok: often, delay, copies }), {
    minLength: 10,
    maxLength: 20,
  }),
  stopAt: fc.integer({ min: 100, max: END }),
  ticks: fc.array(fc.nat({ max: END }), { maxLength: 8 }),
  flushEvery: fc.integer({ min: 1, max: 40 }),
});

/** When the beats of a schedule come; the one at 0 is that of the start. */
function beatSeconds({ beats }: Schedule): number[] {
  let at = 0;
  const seconds = beats.flatMap(({ times, silence }) => {
    const row = Array.from({ length: times }, (_, index) => at + index * 5);
    at += times * 5 + silence;
    return row;
  });
  return [0, ...seconds.filter((second) => second > 0 && second <= END)];
}

function probeSeconds({ probes }: Schedule): (Schedule['probes'][number] & { readonly at: number })[] {
  let at = 0;
  return probes.map((probe) => ({ ...probe, at: (at += probe.after) })).filter((probe) => probe.at <= END);
}

/** The billable seconds of a schedule, counted one by one. */
function countBillable(schedule: Schedule): number {
  const { segments, stopAt } = schedule;
  const beatAt = beatSeconds(schedule);
  const good = [0, ...probeSeconds(schedule).flatMap(({ ok, at }) => (ok ? [at] : []))];
  let from = 0;
  const runs = segments.map(({ length, made }) => ({ made, from, to: (from += length) }));
  let seconds = 0;
  for (let second = 0; second < stopAt; second += 1) {
    const before = beatAt.findLast((at) => at <= second) ?? 0;
    const after = beatAt.find((at) => at > second);
    const heard = second < before + 30 || (after !== undefined && after - before < 60);
    const reached = good.some((at) => at <= second && second < at + 90);
    const ran = runs.some((run) => run.made && run.from <= second && second < run.to);
    if (heard && reached && ran) seconds += 1;
  }
  return seconds;
}

/** Plays a schedule in the order of its deliveries, ticks in between, and settles. */
async function play(rental: Rental, schedule: Schedule): Promise<Rental> {
  const startMs = market.nowMs();
  const at = (second: number) => startMs + second * 1000;
  const events: { readonly second: number; readonly happen: () => Promise<unknown> }[] = [];
  const add = (second: number, happen: () => Promise<unknown>) => void events.push({ second, happen });

  let spans: BeatSpan[] = [];
  const flush = async () => {
    await node.beats(spans);
    spans = [];
  };
  beatSeconds(schedule).forEach((second, index) => {
    add(second, async () => {
      spans = foldBeat(spans, node.beatAt(at(second)), 60_000);
      if (index % schedule.flushEvery === 0) await flush();
    });
  });
  add(END + 1, flush);

  let from = 0;
  for (const { length, made, delay: late, copies: times } of schedule.segments) {
    const to = from + length;
    const segment = made ? await node.segment(rental, at(from), at(to)) : null;
    for (let copy = 0; segment && copy < times; copy += 1)
      add(Math.min(to + late * (copy + 1), END + LATEST), () => node.meter([segment]));
    from = to;
  }
  for (const probe of probeSeconds(schedule)) {
    for (let copy = 0; copy < probe.copies; copy += 1) {
      add(Math.min(probe.at + probe.delay * (copy + 1), END + LATEST), () =>
        node.probe(rental, probe.ok, at(probe.at)),
      );
    }
  }
  for (const second of schedule.ticks) add(second, () => market.billing.tick());
  const path = `/api/v1/rentals/${rental.id}`;
  add(schedule.stopAt, () => renter.client.post(`${path}/stop`));
  for (const { second, happen } of events.toSorted((a, b) => a.second - b.second)) {
    market.advance(Math.max(0, at(second) - market.nowMs()));
    await happen();
  }
  market.advance(at(END + LATEST + 10) - market.nowMs());
  await market.billing.settle();
  return await renter.client.get<Rental>(path);
}

describe('the charge of a rental', () => {
  it('is rate x proven time, whatever the order, duplication, delay and batching of reports, and the ticks between (I6)', async () => {
    await fc.assert(
      fc.asyncProperty(schedules, async (schedule) => {
        const rental = await renter.rent(offerId);
        await node.run(rental);
        const settled = await play(rental, schedule);
        const seconds = countBillable(schedule);
        expect({ billableMs: settled.billableMs, charged: settled.chargedTotal }).toEqual({
          billableMs: seconds * 1000,
          charged: (Math.floor((seconds * 1_000_000) / 3600) / 1_000_000).toFixed(6),
        });
        expect(settled.settledAt).not.toBeNull();
        await renter.client.delete(`/api/v1/rentals/${rental.id}`);
        await node.say(rental, 'deleted');
      }),
      { numRuns: 25 },
    );
    expect(await market.brokenInvariants()).toEqual([]);
  });
});
