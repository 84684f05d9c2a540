import { expect, it } from 'vitest';
import { offerIdOf } from './offer-id.js';

const NODE = '3f2c1f5e-8d0e-4a57-9a55-0d3f6a1f2b3c';

it('gives the same shape of the same node the same UUID version 5 for ever', () => {
  expect(offerIdOf(NODE, 'cpu:1')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(offerIdOf(NODE, 'cpu:1')).toBe(offerIdOf(NODE, 'cpu:1'));
  expect(offerIdOf(NODE, 'cpu:1')).not.toBe(offerIdOf(NODE, 'cpu:2'));
});
