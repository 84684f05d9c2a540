import type { LeaseBook } from '../leases/lease-book.js';

/** What decisions look things up in. */
export type KnownLeases = Pick<LeaseBook, 'leaseNamed' | 'tokenHashOf'>;

/**
 * `outdated` marks a refusal that rests on something we may not have heard of yet: worth one question to the platform.
 * `change` allows with other content, which has to be whole.
 */
export type Decision =
  | { readonly kind: 'allow' }
  | { readonly kind: 'change'; readonly content: Readonly<Record<string, unknown>> }
  | { readonly kind: 'refuse'; readonly reason: string; readonly outdated: boolean };

export const ALLOW: Decision = { kind: 'allow' };

export function refuse(reason: string): Decision {
  return { kind: 'refuse', reason, outdated: false };
}

export function refuseUnlessNews(reason: string): Decision {
  return { kind: 'refuse', reason, outdated: true };
}
