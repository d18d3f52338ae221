import assert from 'node:assert/strict';
import { test } from 'node:test';

import { exclusively, ifIdle, isRead, Readers } from '../../dist/cache/locks.js';
import { FakeLocks, pretend } from '../support/fake_locks.mjs';

const never = new AbortController().signal;
const none = () => undefined;

test('two loads of a file take turns, and the second is told', async (t) => {
  pretend(t, { locks: new FakeLocks() });
  const order = [];
  let end;
  const first = exclusively('k', never, () => order.push('first waits'), () => new Promise((go) => (end = go)));
  const second = exclusively('k', never, () => order.push('second waits'), async () => order.push('second'));
  await new Promise((go) => setTimeout(go, 5));
  assert.deepEqual(order, ['second waits']);
  end('value');
  assert.equal(await first, 'value');
  await second;
  assert.deepEqual(order, ['second waits', 'second']);
});

test('an abort while another tab has the file is an abort', async (t) => {
  pretend(t, { locks: new FakeLocks() });
  await assert.rejects(exclusively('k', AbortSignal.abort(), none, async () => 1), { name: 'AbortError', code: 'aborted' });
  let end;
  const first = exclusively('k', never, none, () => new Promise((go) => (end = go)));
  const controller = new AbortController();
  const second = exclusively('k', controller.signal, none, async () => assert.fail('it was aborted'));
  setTimeout(() => controller.abort(), 5);
  await assert.rejects(second, { name: 'AbortError', code: 'aborted' });
  end();
  await first;
  const mine = new Error('of the task');
  await assert.rejects(exclusively('k', never, none, () => Promise.reject(mine)), mine);
});

test('a file is idle when nobody fetches or reads it', async (t) => {
  const ask = () => ifIdle('k', async () => 'idle', () => 'busy');
  for (const navigator of [undefined, { locks: new FakeLocks() }]) {
    pretend(t, navigator);
    assert.equal(await ask(), 'idle');
    const [one, two] = [new Readers(), new Readers()];
    await Promise.all([one.add('k'), two.add('k'), two.add('other')]);
    assert.equal(await isRead('k'), navigator !== undefined);
    if (navigator) assert.equal(await ask(), 'busy');
    await one.end();
    if (navigator) assert.equal(await ask(), 'busy');
    await two.end();
    assert.deepEqual([await ask(), await isRead('k'), await isRead('other')], ['idle', false, false]);
    const inside = await exclusively('k', never, none, ask);
    assert.equal(inside, navigator ? 'busy' : 'idle');
  }
});
