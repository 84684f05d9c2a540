import { describe, expect, it } from 'vitest';
import { CURSOR_PART, decodeCursor, encodeCursor } from './cursor.js';

const patterns = [CURSOR_PART.amount, CURSOR_PART.uuid];
const position = ['0.250000', '3f2c1f5e-8d0e-4a57-9a55-0d3f6a1f2b3c'];

describe('cursors', () => {
  it('come back as the position that they were made of', () => {
    expect(decodeCursor(encodeCursor(position), patterns)).toEqual(position);
    expect(decodeCursor(undefined, patterns)).toBeNull();
  });

  it('are refused when they are not of this list', () => {
    for (const cursor of ['', 'x', encodeCursor(['1']), encodeCursor(["1'; DROP", position[1] ?? ''])]) {
      expect(() => decodeCursor(cursor, patterns)).toThrow('not one that this list gave out');
    }
  });
});
