import assert from 'node:assert/strict';
import { test } from 'node:test';

import { hashesOf } from '../../dist/source/hashes.js';
import { wanted } from '../../dist/source/wanted.js';

test('addresses of files and of folders are told apart', () => {
  const url = 'https://example.org/a/model%20one.gguf?download=true';
  assert.deepEqual(wanted(url), [{ kind: 'url', url, name: 'model one.gguf' }]);
  assert.deepEqual(wanted(new URL('https://example.org/a/b')), [{ kind: 'folder', url: 'https://example.org/a/b/' }]);
  assert.deepEqual(wanted('https://example.org/a/?x=1'), [{ kind: 'folder', url: 'https://example.org/a/?x=1' }]);
});

test('what a server never sees is no part of an address, and what the browser holds is a file', () => {
  assert.equal(wanted('https://example.org/a.gguf#part')[0].url, 'https://example.org/a.gguf');
  assert.deepEqual(wanted('blob:https://example.org/1-2-3'), [{ kind: 'url', url: 'blob:https://example.org/1-2-3', name: 'model.gguf' }]);
});

test('files keep their names; lists may mix', () => {
  const file = new File([], 'config.json');
  const list = wanted([file, 'https://example.org/model.safetensors']);
  assert.deepEqual(list.map((one) => one.name), ['config.json', 'model.safetensors']);
  assert.equal(wanted(new Blob([]))[0].name, 'model.gguf');
  assert.equal(wanted({ length: 1, 0: file }).length, 1, 'like the list of an input');
  for (const wrong of [[42], [], 5, undefined, null, new ArrayBuffer(3)]) assert.throws(() => wanted(wrong), { name: 'InvalidRequest' });
});

test('hashes are for the weights, or for files by name', () => {
  const one = wanted('https://example.org/a.gguf');
  const hash = `sha256-${'A'.repeat(43)}=`;
  assert.deepEqual(hashesOf('integrity', hash, one), { '*': hash });
  assert.deepEqual(hashesOf('integrity', { 'a.gguf': hash }, one), { 'a.gguf': hash });
  assert.throws(() => hashesOf('integrity', { 'b.gguf': hash }, one), { name: 'InvalidRequest' });
});
