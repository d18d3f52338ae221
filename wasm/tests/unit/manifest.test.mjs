import assert from 'node:assert/strict';
import { test } from 'node:test';

import { bytesOf, CHUNK, fresh, isWhole, lengthOf, missing, parse } from '../../dist/cache/manifest.js';

test('a manifest counts its chunks', () => {
  const manifest = fresh('http://x/a', 2 * CHUNK + 5, '"1"');
  assert.deepEqual(missing(manifest), [0, 1, 2]);
  assert.equal(lengthOf(manifest, 2), 5);
  manifest.hashes[2] = 'h';
  assert.equal(bytesOf(manifest), 5);
  assert.ok(!isWhole(manifest));
  manifest.hashes.fill('h');
  assert.ok(isWhole(manifest));
  assert.equal(bytesOf(manifest), manifest.size);
});

test('a torn or foreign manifest counts as none', () => {
  const text = JSON.stringify(fresh('http://x/a', CHUNK + 1, null));
  assert.ok(parse(text));
  for (let length = 0; length < text.length; length++) assert.equal(parse(text.slice(0, length)), undefined);
  const other = (change) => parse(JSON.stringify({ ...JSON.parse(text), ...change }));
  assert.equal(other({ version: 2 }), undefined);
  assert.equal(other({ size: 3 * CHUNK }), undefined);
  assert.ok(!isWhole(other({ size: -1, hashes: ['h'] })), 'a stream that was cut short');
  assert.equal(other({ chunk: 0 }), undefined);
  assert.equal(parse('null'), undefined);
});
