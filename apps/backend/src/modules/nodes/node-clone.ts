/** What the database knows of a node's latest session. */
export interface LatestSession {
  readonly bootId: string | null;
  readonly lastSeenAt: Date | null;
}

/**
 * Whether a session under another boot id must be refused: an identity runs on one machine, and a machine that rebooted
 * was silent meanwhile. The same boot id is the same machine (design section 5, R8).
 */
export function isCloneSuspected(latest: LatestSession, bootId: string, now: Date, silenceMs: number): boolean {
  if (latest.bootId === null || latest.bootId === bootId || latest.lastSeenAt === null) return false;
  return now.getTime() - latest.lastSeenAt.getTime() < silenceMs;
}
