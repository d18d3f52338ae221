// From the cache, the network or both; with a Cache API in memory, which Node has not.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';

import { cache as files } from '../../dist/cache/index.js';
import { Readers } from '../../dist/cache/locks.js';
import { CHUNK } from '../../dist/cache/manifest.js';
import { Lanes } from '../../dist/fetch/lanes.js';
import { obtain } from '../../dist/fetch/obtain.js';
import { Tally } from '../../dist/fetch/tally.js';
import { gather } from '../../dist/source/gather.js';
import { FakeLocks, pretend } from '../support/fake_locks.mjs';
import { noise, sha256, startServer } from '../support/server.mjs';

const kept = new Map();
const cache = {
  match: async (url) => kept.get(url)?.clone(),
  put: async (url, response) => void kept.set(url, response),
  keys: async () => [...kept.keys()].map((url) => ({ url })),
  delete: async (url) => kept.delete(url),
};

let server;
before(async () => {
  server = await startServer();
  globalThis.caches = { open: async () => cache };
});
beforeEach(() => kept.clear());
after(() => {
  delete globalThis.caches;
  return server.close();
});

function get(url, remote = {}, mode = true, { tell = () => {}, readers } = {}) {
  const own = new Readers();
  const shared = { mode, lanes: new Lanes(6), signal: new AbortController().signal, tally: new Tally(tell), readers: readers ?? own };
  const obtained = obtain({ url, name: 'a.gguf', optional: false, integrity: undefined, ...remote }, shared);
  return obtained.finally(() => own.end());
}

/** The address of the manifest, which is that of its chunks without their number. */
const manifestAt = () => [...kept.keys()].find((url) => !/\/\d+$/.test(url));
async function change(edit) {
  const manifest = await kept.get(manifestAt()).clone().json();
  edit(manifest);
  kept.set(manifestAt(), new Response(JSON.stringify(manifest)));
}
const damage = (index) => kept.set(`${manifestAt()}/${index}`, new Response('nonsense'));

test('a chunk that is fetched again is not covered by what was verified before', async () => {
  const bytes = noise(2 * CHUNK);
  const url = server.url('/verified.gguf');
  const integrity = sha256(bytes);
  const how = server.add('/verified.gguf', bytes);
  await get(url, { integrity });
  damage(1);
  assert.equal((await get(url, { integrity })).stats.repaired, 1);
  // Other bytes under the same etag: a server that lies, or that was broken into.
  server.add('/verified.gguf', noise(2 * CHUNK, 2), how);
  damage(1);
  await assert.rejects(get(url, { integrity }), { name: 'IntegrityError' });
  assert.equal(kept.size, 0, 'a wrong file is not kept');
});

test('what was verified is not forgotten by a load that did not ask, unless it changed the file', async () => {
  const bytes = noise(1000);
  const url = server.url('/later.gguf');
  const how = server.add('/later.gguf', bytes);
  const integrity = sha256(bytes);
  await get(url, { integrity });
  server.add('/later.gguf', noise(1000, 2), how);
  damage(0);
  await get(url);
  await assert.rejects(get(url, { integrity }), { name: 'IntegrityError' });
});

test('that there is no file is remembered for a day, and longer without a network', async () => {
  const url = server.url('/none.json');
  const asked = () => server.requests('/none.json').length;
  const optional = true;
  for (let i = 0; i < 2; i++) assert.equal((await get(url, { optional })).blob, undefined);
  assert.equal(asked(), 1);
  const old = (manifest) => (manifest.stored -= 25 * 3600 * 1000);
  await change(old);
  const how = server.add('/none.json', Buffer.from('{}'), { busy: 4 });
  assert.equal((await get(url, { optional })).blob, undefined, 'the server does not answer');
  assert.equal(how.busy, 0);
  assert.equal((await get(url, { optional })).blob.size, 2);
});

test('a file that is refused may be done without, and is asked for again', async () => {
  const url = server.url('/refused.json');
  const how = server.add('/refused.json', Buffer.from('{}'), { refused: true });
  await assert.rejects(get(url), ({ code, message }) => code === 'network' && message.includes('answered 403'));
  assert.equal((await get(url, { optional: true })).blob, undefined);
  Object.assign(how, { busy: 4 });
  assert.equal((await get(url, { optional: true })).blob, undefined, 'what is known has to do while nobody answers');
  how.refused = false;
  assert.equal((await get(url, { optional: true })).blob.size, 2);
});

test('that there is no file is no file that is read', async (t) => {
  pretend(t, { locks: new FakeLocks() });
  const url = server.url('/still-refused.json');
  server.add('/still-refused.json', Buffer.from('{}'), { refused: true });
  const readers = new Readers();
  await get(url, { optional: true }, true, { readers });
  assert.equal((await get(url, { optional: true }, 'require')).stats.stored, 'cache');
  await readers.end();
});

test('a full storage loses no more than the note that a file is right', async () => {
  const bytes = noise(1000);
  const url = server.url('/noted.gguf');
  server.add('/noted.gguf', bytes);
  await get(url);
  const { put } = cache;
  cache.put = async () => { throw new DOMException('full', 'QuotaExceededError'); };
  try {
    assert.equal((await get(url, { integrity: sha256(bytes) }, 'require')).stats.stored, 'cache');
  } finally {
    cache.put = put;
  }
  assert.equal(await files.has(url), true);
});

test('a chunk that is deleted while it is read is no part of a file', async () => {
  const url = server.url('/deleted.gguf');
  server.add('/deleted.gguf', noise(2 * CHUNK));
  await get(url);
  const { match } = cache;
  // As another tab does it, after the chunks were looked at.
  cache.match = async (address) => {
    const found = await match(address);
    if (address.endsWith('/1')) kept.delete(address);
    return found;
  };
  await assert.rejects(get(url), ({ code, message }) => code === 'file' && message.includes('deleted'));
  cache.match = match;
  assert.equal((await get(url)).stats.repaired, 1);
});

test('a stream that broke off is listed, can be deleted, and comes anew', async () => {
  const url = server.url('/stream.gguf');
  const bytes = noise(3 * CHUNK);
  server.add('/stream.gguf', bytes, { ranges: false, breaks: 4 });
  await assert.rejects(get(url), { code: 'network' });
  const [{ complete, size }] = await files.list();
  assert.deepEqual([complete, size, await files.has(url)], [false, -1, false]);
  assert.equal(await files.delete(url), true);
  assert.equal(kept.size, 0);
  server.add('/stream.gguf', bytes, { ranges: false, breaks: 4 });
  await assert.rejects(get(url), { code: 'network' });
  const { blob, stats } = await get(url);
  assert.equal(sha256(Buffer.from(await blob.arrayBuffer())), sha256(bytes));
  assert.equal(stats.from, 'network');
  assert.equal(await files.has(url), true);
});

test('a file that is fetched anew has the room of the one it replaces', async (t) => {
  const url = server.url('/replaced.gguf');
  server.add('/replaced.gguf', noise(2 * CHUNK));
  await get(url);
  pretend(t, { storage: { estimate: async () => ({ quota: 2 * CHUNK + 5, usage: 2 * CHUNK }) } });
  server.add('/replaced.gguf', noise(2 * CHUNK + 5, 2));
  assert.equal((await get(url, {}, 'reload')).stats.stored, 'cache');
  server.add('/replaced.gguf', noise(2 * CHUNK + 11, 3));
  const told = [];
  const tell = ({ note, loaded }) => note && told.push([note, loaded]);
  assert.equal((await get(url, {}, 'reload', { tell })).stats.stored, 'memory');
  assert.equal(told.length, 1);
  assert.match(told[0][0], /^kept in memory only: .* MB do not fit/);
  assert.equal(told[0][1], 0, 'it is told when it happens, not at the end');
});

test('a file that a load still reads is neither replaced nor deleted', async (t) => {
  pretend(t, { locks: new FakeLocks() });
  const url = server.url('/read.gguf');
  const bytes = noise(1000);
  server.add('/read.gguf', bytes);
  const readers = new Readers();
  const { blob } = await get(url, {}, true, { readers });
  server.add('/read.gguf', noise(1000, 2), { version: 2 });
  const aside = await get(url, {}, 'reload');
  assert.deepEqual([aside.stats.stored, aside.stats.note], ['memory', 'kept in memory only: another load is reading the file that is kept']);
  await assert.rejects(files.delete(url), ({ code, message }) => code === 'file' && message.includes('is in use by a load'));
  await assert.rejects(get(url, { integrity: sha256('another') }), { name: 'IntegrityError' });
  assert.equal(await files.has(url), true, 'the hash may be what is wrong');
  damage(0);
  await assert.rejects(get(url, {}, 'require'), ({ name, message }) => name === 'QuotaExceeded' && message.includes('another load is reading'));
  kept.set(`${manifestAt()}/0`, new Response(bytes));
  assert.equal(sha256(Buffer.from(await blob.arrayBuffer())), sha256(bytes));
  await readers.end();
  assert.equal((await get(url, {}, 'reload')).stats.stored, 'cache');
  assert.equal(await files.delete(url), true);
});

test('a folder is there when all that it needs is, and not while its weights come', async () => {
  const at = (name) => `/folder/${name}`;
  const url = server.url('/folder/?token=1');
  server.add(at('config.json'), Buffer.from('{}'));
  const how = server.add(at('model.safetensors'), noise(1000), { refused: true });
  const shared = () => ({ mode: true, lanes: new Lanes(6), signal: new AbortController().signal, tally: new Tally(() => {}), readers: new Readers() });
  const load = () => gather([{ kind: 'folder', url }], {}, shared());
  await assert.rejects(load(), { code: 'network' });
  assert.equal((await files.list()).length, 1, 'its configuration is there');
  assert.equal(await files.has(url), false);
  how.refused = false;
  await load();
  assert.equal(await files.has(url), true);
  assert.equal(await files.has(`${url}#part`), true);
  assert.equal(await files.has(server.url('/folder/')), false, 'it is another address');
  assert.deepEqual((await files.list()).map((file) => file.url).sort(), ['config.json', 'model.safetensors'].map((name) => server.url(`${at(name)}?token=1`)));
  assert.equal(await files.delete(server.url(`${at('config.json')}?token=1`)), true);
  assert.equal(await files.has(url), false);
  assert.equal(await files.delete(server.url('/folder/')), true, 'with any query');
  assert.equal(kept.size, 0);
});

test('of a folder that is in use nothing is deleted', async (t) => {
  pretend(t, { locks: new FakeLocks() });
  for (const name of ['a', 'b']) server.add(`/used/${name}.gguf`, noise(100));
  const readers = new Readers();
  await get(server.url('/used/a.gguf'));
  await get(server.url('/used/b.gguf'), {}, true, { readers });
  await assert.rejects(files.delete(server.url('/used/')), { code: 'file' });
  assert.equal((await files.list()).length, 2);
  await readers.end();
  assert.equal(await files.delete(server.url('/used/')), true);
  assert.equal(kept.size, 0);
});
