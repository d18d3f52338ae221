import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Lanes } from '../../dist/fetch/lanes.js';
import { Tally } from '../../dist/fetch/tally.js';
import { Readers } from '../../dist/cache/locks.js';
import { gather } from '../../dist/source/gather.js';
import { hashesOf } from '../../dist/source/hashes.js';
import { noise, sha256, startServer } from '../support/server.mjs';

let server;
before(async () => (server = await startServer()));
after(() => server.close());

let folders = 0;
/** A folder with these files, and what `gather` makes of it. */
function folder(files) {
  const path = `/${folders++}/`;
  for (const [name, content] of Object.entries(files)) server.add(path + name, Buffer.from(content));
  return { path, wanted: [{ kind: 'folder', url: server.url(path) }] };
}

function run(wanted, hashes = {}, told = []) {
  const tally = new Tally((progress) => told.push(progress));
  return gather(wanted, hashes, { mode: false, lanes: new Lanes(6), signal: new AbortController().signal, tally, readers: new Readers() });
}

const index = (map) => JSON.stringify({ weight_map: map });

test('a folder with one file of weights, or with shards, each once', async () => {
  const single = await run(folder({ 'config.json': '{}', 'model.safetensors': 'w' }).wanted);
  assert.deepEqual(single.map((part) => part.name), ['config.json', 'model.safetensors']);
  const sharded = await run(folder({
    'config.json': '{}', 'tokenizer.json': '{}', 'generation_config.json': '{}', 'chat_template.jinja': '',
    'model.safetensors.index.json': index({ a: 'x.safetensors', b: 'y.safetensors', c: 'x.safetensors' }),
    'x.safetensors': 'x', 'y.safetensors': 'y',
  }).wanted);
  const names = [
    'config.json', 'tokenizer.json', 'generation_config.json', 'chat_template.jinja',
    'model.safetensors.index.json', 'x.safetensors', 'y.safetensors',
  ];
  assert.deepEqual(sharded.map((part) => part.name), names);
});

test('a folder that is none, and an index that is none, are errors that name the file', async () => {
  await assert.rejects(run(folder({ 'model.safetensors': 'w' }).wanted), ({ code, message }) => code === 'file' && message.includes('config.json'));
  await assert.rejects(run(folder({ 'config.json': '{}' }).wanted), ({ message }) => message.includes('model.safetensors'));
  for (const broken of ['not json', '{}', index({}), index({ a: '../secret.safetensors' }), index({ a: 3 })]) {
    const { wanted } = folder({ 'config.json': '{}', 'model.safetensors.index.json': broken });
    await assert.rejects(run(wanted), ({ code, message }) => code === 'file' && message.includes('weight_map'), broken);
  }
});

test('hashes are verified, of files by name and of files that a page gives', async () => {
  const bytes = noise(1000);
  const { path } = folder({ 'model.gguf': bytes });
  const wanted = [{ kind: 'url', url: server.url(`${path}model.gguf`), name: 'model.gguf' }];
  assert.equal((await run(wanted, { '*': sha256(bytes) })).length, 1);
  const wrong = sha256(noise(1000, 2));
  await assert.rejects(run(wanted, { 'model.gguf': wrong }), { name: 'IntegrityError' });
  const given = [{ kind: 'blob', blob: new Blob([bytes]), name: 'model.gguf' }];
  await assert.rejects(run(given, { '*': wrong }), { name: 'IntegrityError' });
  assert.equal((await run(given, { '*': sha256(bytes) }))[0].stats.from, 'page');
});

test('a hash that would not be verified is refused before anything comes', async () => {
  const hash = sha256('x');
  const url = (name) => ({ kind: 'url', url: `http://x/${name}`, name });
  const refused = (integrity, wanted, message) =>
    assert.throws(() => hashesOf('integrity', integrity, wanted), (error) => error.name === 'InvalidRequest' && message.test(error.message));
  for (const wrong of [null, 5, [], {}, new Map([['a.gguf', hash]])]) refused(wrong, [url('a.gguf')], /is a hash, or an object of hashes/);
  refused('sha256-short', [url('a.gguf')], /weights: "sha256-short" is not/);
  refused({ 'a.gguf': hash, 'b.gguf': hash }, [url('a.gguf')], /"b.gguf", which is none of a.gguf/);
  refused({ 'a.gguf': undefined }, [url('a.gguf')], /"undefined" is not/);
  refused(hash, [url('a.safetensors'), url('b.safetensors')], /hashes by name/);
  refused(hash, [{ kind: 'blob', name: 'unknown', blob: new Blob([]) }], /hashes by name/);
  assert.deepEqual(hashesOf('integrity', hash, [url('config.json'), url('a.gguf')]), { '*': hash });
});

test('hashes of a folder: of its one file of weights, or by name, and then the file must be there', async () => {
  const single = folder({ 'config.json': '{}', 'model.safetensors': 'w' });
  assert.equal((await run(single.wanted, { '*': sha256('w') })).length, 2);
  await assert.rejects(run(single.wanted, { 'model.safetensor': sha256('w') }), { name: 'InvalidRequest' });
  await assert.rejects(run(single.wanted, { 'tokenizer.json': sha256('w') }), { code: 'file' });
  const { path, wanted } = folder({
    'config.json': '{}', 'model.safetensors.index.json': index({ a: 'x.safetensors', b: 'y.safetensors' }),
    'x.safetensors': 'x', 'y.safetensors': 'y',
  });
  await assert.rejects(run(wanted, { '*': sha256('x') }), /hashes by name/);
  assert.equal(server.requests(`${path}x.safetensors`).length, 0);
  assert.equal((await run(wanted, { 'x.safetensors': sha256('x'), 'y.safetensors': sha256('y') })).length, 4);
});

test('progress adds up over all files', async () => {
  const told = [];
  const { wanted } = folder({ 'config.json': '{}', 'model.safetensors': noise(300_000) });
  await run(wanted, {}, told);
  assert.equal(told.at(-1).loaded, 300_002);
  assert.equal(told.at(-1).total, 300_002);
  assert.ok(told.every(({ loaded, total }) => loaded <= total));
});

test('an address of what the browser holds is read, not kept', async () => {
  const url = URL.createObjectURL(new Blob(['weights']));
  const wanted = [{ kind: 'url', url, name: 'model.gguf' }];
  const [part] = await run(wanted);
  assert.deepEqual([await part.blob.text(), part.stats.from, part.stats.stored], ['weights', 'page', 'page']);
  URL.revokeObjectURL(url);
  await assert.rejects(run(wanted), ({ code, message }) => code === 'file' && /revoked/.test(message));
});
