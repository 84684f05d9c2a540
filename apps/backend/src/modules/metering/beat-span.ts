/** One heartbeat that carries proof: when it came, and what the node's boot clock said. */
export interface Beat {
  readonly bootId: string;
  readonly bootMs: number;
  /** Epoch milliseconds of the backend's clock. */
  readonly receivedAtMs: number;
}

/** Heartbeats of one boot that followed each other closely enough to prove the time between them as well. */
export interface BeatSpan {
  readonly bootId: string;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
  /** The smallest `receivedAt - bootMs`: the closest to the true distance of the two clocks, since delay only adds to it. */
  readonly offsetMs: number;
}

/** A database that is away for long must not fill the memory: a node keeps this many of its latest spans. */
const MAX_SPANS = 32;

/**
 * Adds a beat to a node's spans. Silence up to `bridgeMs` within one boot is bridged; longer silence, or another boot,
 * begins a new span. That the container was the same all along is said by the usage segment that covers the silence,
 * which names one container. Beats come in the order of their receipt; one that seems to come before the last was received
 * after the platform's clock had been set back, and begins a new span, since no span may end before it begins.
 */
export function foldBeat(spans: readonly BeatSpan[], beat: Beat, bridgeMs: number): BeatSpan[] {
  const offsetMs = beat.receivedAtMs - beat.bootMs;
  const last = spans.at(-1);
  const silenceMs = last ? beat.receivedAtMs - last.lastAtMs : 0;
  if (last && last.bootId === beat.bootId && silenceMs >= 0 && silenceMs < bridgeMs) {
    const longer = { ...last, lastAtMs: beat.receivedAtMs, offsetMs: Math.min(last.offsetMs, offsetMs) };
    return [...spans.slice(0, -1), longer];
  }
  const begun = { bootId: beat.bootId, firstAtMs: beat.receivedAtMs, lastAtMs: beat.receivedAtMs, offsetMs };
  return [...spans, begun].slice(-MAX_SPANS);
}
