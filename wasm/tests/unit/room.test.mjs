import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';

import { exclusively, lackOfRoom } from '../../dist/cache/open.js';

const original = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
const pretend = (navigator) => Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
afterEach(() => Object.defineProperty(globalThis, 'navigator', original ?? { value: undefined, configurable: true }));

test('a lack of room is told before the browser fills up', async () => {
  pretend({ storage: { estimate: async () => ({ quota: 100e6, usage: 60e6 }) } });
  assert.equal(await lackOfRoom(40e6), undefined);
  assert.equal(await lackOfRoom(41e6), '41.0 MB do not fit into the 40.0 MB that the browser grants this site');
  pretend({ storage: { estimate: async () => ({}) } });
  assert.equal(await lackOfRoom(1e15), undefined, 'nobody knows');
  pretend(undefined);
  assert.equal(await lackOfRoom(1e15), undefined);
});

test('an abort while another tab has the file is an abort', async () => {
  const request = (_, { signal }, task) => (signal.aborted ? Promise.reject(signal.reason) : task());
  pretend({ locks: { request } });
  const signal = AbortSignal.abort();
  await assert.rejects(exclusively('k', signal, async () => 1), { name: 'AbortError', code: 'aborted' });
  const mine = new Error('of the task');
  await assert.rejects(exclusively('k', new AbortController().signal, () => Promise.reject(mine)), mine);
});
