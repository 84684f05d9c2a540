import { AppError } from './errors.js';

/** Turns the position after the last item of a page into an opaque cursor. */
export function encodeCursor(position: readonly string[]): string {
  return Buffer.from(JSON.stringify(position)).toString('base64url');
}

/** Says whether a text may be a part of a position. */
type PartPattern = Pick<RegExp, 'test'>;

/**
 * Reads a cursor of `encodeCursor`. `patterns` has one pattern for each part of the position: a cursor is a stranger's
 * text. Null without a cursor. Throws `request.invalid` for anything that is no cursor of this list.
 */
export function decodeCursor(cursor: string | undefined, patterns: readonly PartPattern[]): string[] | null {
  if (cursor === undefined) return null;
  const position = parseJson(Buffer.from(cursor, 'base64url').toString());
  const valid =
    Array.isArray(position) &&
    position.length === patterns.length &&
    position.every((part: unknown, index) => typeof part === 'string' && patterns[index]?.test(part));
  if (valid) return position as string[];
  throw new AppError('request.invalid', {
    detail: 'The cursor is not one that this list gave out. Start again without a cursor.',
    errors: [{ field: 'cursor', message: 'is not a cursor of this list' }],
  });
}

/** Patterns of the parts that positions are made of. */
export const CURSOR_PART = {
  uuid: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
  amount: /^\d{1,14}(\.\d{1,6})?$/,
  sequence: /^\d{1,18}$/,
  moment: { test: isMoment },
} as const;

/** Only what `Date.toISOString` writes of our era: PostgreSQL refuses days that do not exist. */
function isMoment(text: string): boolean {
  const ms = /^[1-9]\d{3}-[-\d]{5}T[:\d]{8}\.\d{3}Z$/.test(text) ? Date.parse(text) : NaN;
  return Number.isFinite(ms) && new Date(ms).toISOString() === text;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
