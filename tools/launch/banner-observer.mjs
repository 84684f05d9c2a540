import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const INTERVAL_MS = 100;
const TIMEOUT_MS = 1000;

/**
 * Watches a rental's public SSH port from outside, as a stranger would: tries every 100 ms whether a banner comes.
 * It knows nothing of the platform's own probes, so it can judge what the platform charges.
 * @param {{host: string, sshPort: number}} address
 */
export function observeBanner({ host, sshPort }) {
  let stopped = false;
  /** @type {{firstSeenAt: number | null, lastSeenAt: number | null}} */
  const seen = { firstSeenAt: null, lastSeenAt: null };
  const watching = (async () => {
    while (!stopped) {
      const at = Date.now();
      if (await bannerComes(host, sshPort)) {
        seen.firstSeenAt ??= at;
        seen.lastSeenAt = Date.now();
      }
      await delay(Math.max(0, INTERVAL_MS - (Date.now() - at)));
    }
  })();
  return {
    /** Ends the watch. Times are epoch milliseconds; `pollMs` is how much earlier or later the truth may lie. */
    async stop() {
      stopped = true;
      await watching;
      const seconds = seen.firstSeenAt === null ? 0 : (seen.lastSeenAt - seen.firstSeenAt) / 1000;
      return { firstBannerAt: seen.firstSeenAt, lastBannerAt: seen.lastSeenAt, seconds, pollMs: INTERVAL_MS };
    },
  };
}

function bannerComes(host, port) {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const done = (result) => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(TIMEOUT_MS, () => done(false));
    socket.once('data', (data) => done(data.toString('latin1').startsWith('SSH-2.0-')));
    socket.once('error', () => done(false));
    socket.once('close', () => done(false));
  });
}
