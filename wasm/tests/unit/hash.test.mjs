import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';

import { checkIntegrity, keyOf, sha256, verify } from '../../dist/fetch/hash.js';
import { Sha256 } from '../../dist/fetch/sha256.js';
import { noise, sha256 as expected } from '../support/server.mjs';

test('the hash in pieces is that of the whole, at every length around a block', () => {
  for (let length = 0; length < 200; length++) {
    const bytes = noise(length, length + 1);
    const hash = new Sha256();
    for (let at = 0, step = 1; at < length; at += step, step = (step % 70) + 3) {
      hash.update(bytes.subarray(at, at + step));
    }
    assert.equal(Buffer.from(hash.digest()).toString('hex'), createHash('sha256').update(bytes).digest('hex'), `${length} bytes`);
  }
});

test('with and without WebCrypto the hash is the same', async () => {
  const bytes = new Uint8Array(noise(100_000));
  const with_ = await sha256(bytes);
  const crypto = Object.getOwnPropertyDescriptor(globalThis, 'crypto');
  Object.defineProperty(globalThis, 'crypto', { value: undefined, configurable: true });
  try {
    assert.equal(await sha256(bytes), with_);
  } finally {
    Object.defineProperty(globalThis, 'crypto', crypto);
  }
});

test('a file with another hash is refused, and so is a hash that is none', async () => {
  const bytes = noise(9_000_000);
  const signal = new AbortController().signal;
  await verify('a.gguf', new Blob([bytes]), expected(bytes), signal);
  const wrong = expected(bytes.subarray(1));
  await assert.rejects(verify('a.gguf', new Blob([bytes]), wrong, signal), (error) => {
    assert.equal(error.name, 'IntegrityError');
    assert.equal(error.code, 'integrity');
    assert.ok(error.message.includes(wrong) && error.message.includes(expected(bytes)), error.message);
    return true;
  });
  assert.throws(() => checkIntegrity('integrity', 'a.gguf', 'sha256-nonsense'), { name: 'InvalidRequest' });
});

test('keys of addresses are file names, and differ', async () => {
  const keys = await Promise.all(Array.from({ length: 200 }, (_, i) => keyOf(`http://x/${i}`)));
  assert.ok(keys.every((key) => /^[\w-]{32}$/.test(key)));
  assert.equal(new Set(keys).size, keys.length);
});
