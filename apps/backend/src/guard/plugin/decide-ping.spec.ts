import { expect, test } from 'vitest';
import { decidePing } from './decide-ping.js';
import { PingContent } from './frp-messages.js';
import { EVICTED_NODE, NODE, knownLeases } from '../../../test/known-leases.js';

test.each([
  ['a known node', NODE, 'allow'],
  ['a node that is not known (a new guard with an empty book)', '99999999-9999-4999-8999-999999999999', 'allow'],
  ['an evicted node', EVICTED_NODE, 'refuse'],
])('the ping of %s', (_name, user, expected) => {
  expect(decidePing(PingContent.parse({ user: { user, metas: null } }), knownLeases()).kind).toBe(expected);
});
