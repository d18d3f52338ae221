import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { Landing } from '../../dist/cache/landing.js';
import { CHUNK, isWhole } from '../../dist/cache/manifest.js';
import { download } from '../../dist/fetch/download.js';
import { Lanes } from '../../dist/fetch/lanes.js';
import { FakeEntry } from '../support/fake_store.mjs';
import { noise, startServer } from '../support/server.mjs';

let server;
before(async () => (server = await startServer()));
after(() => server.close());

const SIZE = 3 * CHUNK + 12345;
const bytes = noise(SIZE);
let files = 0;

/** A new address that serves `bytes` as `how` says. */
function serve(how, content = bytes) {
  const path = `/${files++}.gguf`;
  return { path, how: server.add(path, content, how), url: server.url(path) };
}

async function fetchInto(entry, url, { known, signal = new AbortController().signal, optional = false, required = false, note = () => {} } = {}) {
  const landing = new Landing(entry, required, undefined);
  let loaded = 0;
  const job = {
    url, optional, landing, lanes: new Lanes(6), signal,
    moved: (count) => (loaded += count),
    sized: async () => {},
    restarted: () => (loaded = 0),
    note,
  };
  const manifest = await download(job, known);
  const blob = manifest.absent ? undefined : await landing.finish(manifest);
  return { manifest, landing, loaded, bytes: blob && Buffer.from(await blob.arrayBuffer()) };
}

test('ranges come in parallel and make the file', async () => {
  const { path, url } = serve({ delay: 1 });
  const got = await fetchInto(new FakeEntry(), url);
  assert.ok(got.bytes.equals(bytes));
  assert.equal(got.loaded, SIZE);
  assert.ok(isWhole(got.manifest));
  const ranges = server.requests(path).map((entry) => entry.range);
  assert.equal(ranges.length, 4, 'the first range, which asks whether there are any, is used');
  assert.equal(new Set(ranges).size, 4);
});

test('a server without ranges is read as one stream, with and without a length', async () => {
  for (const length of [true, false]) {
    const { path, url } = serve({ ranges: false, length });
    const got = await fetchInto(new FakeEntry(), url);
    assert.ok(got.bytes.equals(bytes));
    assert.equal(got.manifest.size, SIZE);
    assert.equal(server.requests(path).length, 1);
  }
});

test('an empty file, and one of exactly a chunk', async () => {
  for (const size of [0, CHUNK, CHUNK + 1]) {
    for (const ranges of [true, false]) {
      const content = bytes.subarray(0, size);
      const got = await fetchInto(new FakeEntry(), serve({ ranges }, content).url);
      assert.ok(got.bytes.equals(content), `${size} bytes, ranges ${ranges}`);
    }
  }
});

test('connections that break and a busy server are tried again', async () => {
  const { url } = serve({ breaks: 2, busy: 1 });
  const got = await fetchInto(new FakeEntry(), url);
  assert.ok(got.bytes.equals(bytes));
  assert.equal(got.loaded, SIZE, 'bytes that came twice are counted once');
  const stream = serve({ ranges: false, breaks: 1 });
  const again = await fetchInto(new FakeEntry(), stream.url);
  assert.ok(again.bytes.equals(bytes));
  assert.equal(again.loaded, SIZE);
});

test('what an earlier load has stored is not fetched again', async () => {
  const entry = new FakeEntry();
  const { path, url } = serve({});
  await fetchInto(entry, url);
  const known = entry.manifest;
  known.hashes[1] = null;
  entry.chunks.delete(1);
  const already = server.requests(path).length;
  const got = await fetchInto(entry, url, { known });
  assert.ok(got.bytes.equals(bytes));
  assert.deepEqual(server.requests(path).slice(already).map((one) => one.range), [`bytes=${CHUNK}-${2 * CHUNK - 1}`]);
});

test('chunks of a file that has changed meanwhile are not mixed with the new one', async () => {
  const entry = new FakeEntry();
  const old = serve({});
  await fetchInto(entry, old.url);
  const known = entry.manifest;
  known.hashes[0] = null;
  old.how.version++;
  const changed = noise(SIZE, 99);
  server.add(old.path, changed, old.how);
  const got = await fetchInto(entry, old.url, { known });
  assert.ok(got.bytes.equals(changed));
  assert.equal(got.loaded, SIZE);
});

test('a file that has shrunk meanwhile is another one', async () => {
  const entry = new FakeEntry();
  const old = serve({});
  await fetchInto(entry, old.url);
  const known = entry.manifest;
  known.hashes[3] = null;
  const shorter = noise(CHUNK, 98);
  for (const content of [shorter, Buffer.alloc(0)]) {
    old.how.version++;
    server.add(old.path, content, old.how);
    const got = await fetchInto(entry, old.url, { known: structuredClone(known) });
    assert.ok(got.bytes.equals(content));
  }
});

test('a page in place of a file is no file', async () => {
  const url = server.url('/spa.html');
  server.add('/spa.html', Buffer.from('<!doctype html>'));
  await assert.rejects(fetchInto(new FakeEntry(), url), { code: 'file' });
  const got = await fetchInto(new FakeEntry(), url, { optional: true });
  assert.equal(got.manifest.absent, true);
});

test('without a word of its version, a file that was begun is fetched anew', async () => {
  const entry = new FakeEntry();
  const { path, url } = serve({ etag: false });
  await fetchInto(entry, url);
  const known = entry.manifest;
  known.hashes[2] = null;
  const already = server.requests(path).length;
  const got = await fetchInto(entry, url, { known });
  assert.ok(got.bytes.equals(bytes));
  assert.equal(got.loaded, SIZE);
  // The request that shows it, and those for all chunks.
  assert.equal(server.requests(path).length - already, 5);
});

test('an abort stops at once and leaves what was stored usable', async () => {
  const entry = new FakeEntry();
  const { url } = serve({ delay: 3 });
  const controller = new AbortController();
  const write = entry.write.bind(entry);
  entry.write = async (...args) => {
    await write(...args);
    controller.abort();
  };
  await assert.rejects(fetchInto(entry, url, { signal: controller.signal }), { name: 'AbortError', code: 'aborted' });
  const { hashes } = entry.manifest;
  assert.ok(hashes.some((hash) => hash !== null) && hashes.some((hash) => hash === null));
});

test('a full store is left for memory, or is an error if that was asked for', async () => {
  const entry = Object.assign(new FakeEntry(), { room: 2 * CHUNK });
  const { url } = serve({});
  const got = await fetchInto(entry, url);
  assert.ok(got.bytes.equals(bytes));
  assert.equal(got.landing.kind, 'memory');
  assert.match(got.landing.why, /memory only: the browser's storage is full/);
  assert.ok(entry.dropped, 'the room is given back');
  const full = Object.assign(new FakeEntry(), { room: CHUNK });
  await assert.rejects(fetchInto(full, url, { required: true }), { name: 'QuotaExceeded' });
  const streamed = await fetchInto(Object.assign(new FakeEntry(), { room: 2 * CHUNK }), serve({ ranges: false, length: false }).url);
  assert.ok(streamed.bytes.equals(bytes));
});

test('a missing file is an error that names it, unless it is optional', async () => {
  const url = server.url('/none.gguf');
  await assert.rejects(fetchInto(new FakeEntry(), url), (error) => error.code === 'file' && error.message.includes(url));
  const got = await fetchInto(new FakeEntry(), url, { optional: true });
  assert.equal(got.manifest.absent, true);
});

test('a server that is not there is a network error that says what to look at', async () => {
  const nobody = await startServer();
  const url = nobody.url('/a.gguf');
  await nobody.close();
  const begun = performance.now();
  const told = [];
  const note = (words) => told.push([words, performance.now() - begun]);
  await assert.rejects(fetchInto(new FakeEntry(), url, { note }), (error) => error.code === 'network' && /is the server up/.test(error.message));
  assert.equal(told.length, 3);
  assert.match(told[0][0], /is the server up.*: trying again$/);
  assert.ok(told[0][1] < 1000, 'a person hears of it at once');
});

test('an etag that is weak by turns is the same version', async () => {
  const { url } = serve({ etag: 'weak' });
  const { loaded, bytes: got } = await fetchInto(new FakeEntry(), url);
  assert.ok(got.equals(bytes));
  assert.equal(loaded, SIZE);
});

test('a server that refuses in the middle is told, and is not taken for one whose file changed', async () => {
  for (const optional of [false, true]) {
    const { path, how, url } = serve({});
    Object.defineProperty(how, 'refused', { get: () => server.requests(path).length > 1 });
    await assert.rejects(fetchInto(new FakeEntry(), url, { optional }), ({ code, message }) => code === 'network' && message.includes('answered 403'));
  }
});

test('a server that gives less at a time than it is asked for is asked again', async () => {
  const { path, url } = serve({ most: 3_000_000 });
  const { loaded, bytes: got } = await fetchInto(new FakeEntry(), url);
  assert.ok(got.equals(bytes));
  assert.equal(loaded, SIZE);
  assert.equal(server.requests(path).length, 3 * 2 + 1);
});

test('a file whose ranges cannot be read, or never fit together, is fetched in one go', async () => {
  const garbled = serve({ garbled: true });
  assert.ok((await fetchInto(new FakeEntry(), garbled.url)).bytes.equals(bytes));
  assert.equal(server.requests(garbled.path).filter(({ range }) => !range).length, 2, 'it is asked whether it is there, and for the file');
  const two = serve({});
  // As two servers behind one address that have not been given the same file.
  Object.defineProperty(two.how, 'version', { get: () => server.requests(two.path).length });
  const got = await fetchInto(new FakeEntry(), two.url);
  assert.ok(got.bytes.equals(bytes));
  assert.equal(got.loaded, SIZE);
  assert.equal(server.requests(two.path).at(-1).range, undefined);
});

test('a server that was away for a while is asked for ranges', async () => {
  const { path, how, url } = serve({});
  Object.defineProperty(how, 'garbled', { get: () => server.requests(path).length <= 4 });
  assert.ok((await fetchInto(new FakeEntry(), url)).bytes.equals(bytes));
  const asked = server.requests(path).map(({ range }) => range);
  assert.deepEqual([asked.indexOf(undefined), asked.lastIndexOf(undefined), asked.length], [4, 4, 5 + 4]);
});

test('a server that never answers a HEAD is not waited for', async (t) => {
  const { path, url } = serve({ hidden: true, head: 'never' });
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const coming = fetchInto(new FakeEntry(), url);
  while (!server.requests(path).some(({ method }) => method === 'HEAD')) await new Promise((go) => setImmediate(go));
  t.mock.timers.tick(30_001);
  assert.ok((await coming).bytes.equals(bytes));
});

test('a page in place of a file is no file, whichever way it comes', async () => {
  const { how, path, url } = serve({ hidden: true, head: false });
  Object.defineProperty(how, 'gone', { get: () => server.requests(path).length > 2 });
  await assert.rejects(fetchInto(new FakeEntry(), url), ({ code, message }) => code === 'file' && /no such file/.test(message));
});

test('where other origins hide the size, it is asked for once', async () => {
  const { path, how, url } = serve({});
  // Node shows all headers; without this one it is as if it were hidden.
  how.hidden = true;
  assert.ok((await fetchInto(new FakeEntry(), url)).bytes.equals(bytes));
  assert.equal(server.requests(path).filter(({ method }) => method === 'HEAD').length, 1);
});

test('what was sent compressed may be longer than it was said to be', async () => {
  const content = Buffer.alloc(5_000_000, 'abc');
  const path = '/zipped.gguf';
  const zipped = gzipSync(content);
  const how = server.add(path, zipped, { ranges: false });
  // The header that says so is hidden from other origins: here, from the code.
  how.encoding = 'gzip';
  const { fetch } = globalThis;
  globalThis.fetch = async (...asked) => {
    const response = await fetch(...asked);
    const headers = new Headers(response.headers);
    headers.delete('content-encoding');
    return new Response(response.body, { status: response.status, headers });
  };
  try {
    assert.ok((await fetchInto(new FakeEntry(), server.url(path))).bytes.equals(content));
  } finally {
    globalThis.fetch = fetch;
  }
});
