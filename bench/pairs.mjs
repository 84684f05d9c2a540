/**
 * Measures baseline and ours alternately, each pair in the other order than the pair before it, so that a machine that
 * slows down or warms up favours neither.
 * @param {{pairs: number, baseline: () => Promise<number>, ours: () => Promise<number>, onPair?: (done: number) => void}} options
 *   each function returns one measured value
 */
export async function measurePairs({ pairs, baseline, ours, onPair = () => {} }) {
  const measured = [];
  for (let pair = 0; pair < pairs; pair += 1) {
    const first = pair % 2 === 0 ? await baseline() : await ours();
    const second = pair % 2 === 0 ? await ours() : await baseline();
    measured.push(pair % 2 === 0 ? { baseline: first, ours: second } : { baseline: second, ours: first });
    onPair(pair + 1);
  }
  return measured;
}

/**
 * The result of one measure: the gate is the median of the pairs' ratios.
 * @param {{measure: string, unit: string, goal: number, measured: {baseline: number, ours: number}[]}} options
 */
export function resultOf({ measure, unit, goal, measured }) {
  const summary = (pick) => {
    const values = measured.map(pick);
    return {
      p50: round(quantile(values, 0.5)),
      p95: round(quantile(values, 0.95)),
      least: round(Math.min(...values)),
      most: round(Math.max(...values)),
    };
  };
  const ratios = measured.map(({ baseline, ours }) => ours / baseline);
  const ratio = Number(quantile(ratios, 0.5).toFixed(3));
  const spread = [quantile(ratios, 0.25), quantile(ratios, 0.75)].map((value) => Number(value.toFixed(3)));
  return {
    measure,
    unit,
    pairs: measured.length,
    ours: summary(({ ours }) => ours),
    baseline: summary(({ baseline }) => baseline),
    ratio,
    spread,
    goal,
    ok: ratio <= goal,
  };
}

/** One line for people. */
export function describeResult({ measure, unit, pairs, ours, baseline, ratio, spread, goal, ok }) {
  const side = (name, { p50, p95 }) => `${name} p50 ${p50} ${unit}, p95 ${p95} ${unit}`;
  return [
    measure,
    `  ${side('ours    ', ours)}`,
    `  ${side('baseline', baseline)}`,
    `  ratio ${ratio} (median of ${pairs} pairs, quartiles ${spread.join(' to ')}); goal <= ${goal}: ${ok ? 'met' : 'MISSED'}`,
  ].join('\n');
}

function quantile(values, q) {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const [low, high] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return low + (high - low) * (at - Math.floor(at));
}

const round = (value) => Number(value.toFixed(1));
