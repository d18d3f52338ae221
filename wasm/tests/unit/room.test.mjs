import assert from 'node:assert/strict';
import { test } from 'node:test';

import { lackOfRoom } from '../../dist/cache/open.js';
import { pretend } from '../support/fake_locks.mjs';

test('a lack of room is told before the browser fills up', async (t) => {
  pretend(t, { storage: { estimate: async () => ({ quota: 100e6, usage: 60e6 }) } });
  assert.equal(await lackOfRoom(40e6), undefined);
  assert.equal(await lackOfRoom(41e6), '41.0 MB do not fit into the 40.0 MB that the browser grants this site');
  pretend(t, { storage: { estimate: async () => ({}) } });
  assert.equal(await lackOfRoom(1e15), undefined, 'nobody knows');
  pretend(t, undefined);
  assert.equal(await lackOfRoom(1e15), undefined);
});
