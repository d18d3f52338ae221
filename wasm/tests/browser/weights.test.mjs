// How weights come, are kept, are repaired and leave, in a real browser; the stand-in for
// the wasm module reads every byte.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';

import { lacking, open, start } from '../support/browser.mjs';
import { noise, sha256 } from '../support/server.mjs';

const skip = lacking();
const CHUNK = 4 << 20;
const bytes = skip ? undefined : noise(5 * CHUNK + 321);
let browser, server, page, url, how;

before(async () => {
  if (skip) return;
  browser = await start({ seconds: 150 });
  server = browser.server;
  page = await open(browser.context, server);
  await page.evaluate(() => {
    globalThis.sumOf = async (source, options) => {
      const engine = await Eaglet.load(source, options);
      const stats = await engine.stats();
      await engine.unload();
      return { sum: stats.model.sum, ...stats.files[0], storage: stats.storage };
    };
    // Errors lose their class on the way to the test.
    globalThis.failure = (promise) => promise.then(() => 'no error', ({ name, code, message }) => ({ name, code, message }));
  });
});
after(() => browser?.end());

let files = 0;
beforeEach(() => {
  if (skip) return;
  const path = `/weights/${files++}.gguf`;
  how = server.add(path, bytes);
  url = server.url(path);
});
const ranges = () => server.requests(new URL(url).pathname).length;

/** The sum that the stand-in makes of what it reads. */
function expectedSum() {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 1_000_003) {
    const piece = bytes.subarray(at, at + 1_000_003);
    for (let i = 0; i < piece.length; i += 997) sum = (sum * 31 + piece[i]) % 1_000_000_007;
  }
  return sum;
}

test('weights come with progress, and the second time from the cache', { skip }, async () => {
  const progress = await page.evaluate(async (url) => {
    const events = [];
    const engine = await Eaglet.load(url, { onProgress: (event) => events.push(event) });
    await engine.unload();
    return events;
  }, url);
  const fetched = progress.filter((event) => event.stage === 'fetch');
  const loaded = progress.filter((event) => event.stage === 'load');
  assert.ok(fetched.length > 1 && loaded.length > 0);
  assert.ok(fetched.every((event, i) => i === 0 || event.loaded >= fetched[i - 1].loaded));
  assert.deepEqual(fetched.at(-1), { stage: 'fetch', loaded: bytes.length, total: bytes.length, cached: 0 });
  assert.equal(loaded.at(-1).loaded, bytes.length);
  assert.equal(ranges(), 6);
  const again = await page.evaluate((url) => sumOf(url), url);
  assert.equal(again.sum, expectedSum());
  assert.equal(again.from, 'cache');
  assert.equal(again.stored, 'opfs');
  assert.equal(ranges(), 6, 'the server is not asked again');
});

test('an interrupted load resumes at what is missing', { skip }, async () => {
  how.delay = 4;
  const aborted = await page.evaluate(async (url) => {
    const controller = new AbortController();
    const onProgress = ({ loaded }) => loaded > 14e6 && controller.abort();
    return failure(Eaglet.load(url, { signal: controller.signal, onProgress }));
  }, url);
  assert.equal(aborted.name, 'AbortError');
  const left = await page.evaluate(async (url) => (await Eaglet.cache.list()).find((file) => file.url === url), url);
  assert.ok(left.bytes > 0 && left.bytes < bytes.length && !left.complete, JSON.stringify(left));
  assert.equal(await page.evaluate((url) => Eaglet.cache.has(url), url), false);
  how.delay = 0;
  const asked = ranges();
  const got = await page.evaluate((url) => sumOf(url), url);
  assert.equal(got.sum, expectedSum());
  assert.equal(got.from, 'both');
  assert.equal(got.repaired, 0);
  assert.equal(ranges() - asked, Math.ceil((bytes.length - left.bytes) / CHUNK));
  assert.equal(await page.evaluate((url) => Eaglet.cache.has(url), url), true);
});

test('a damaged chunk is found and fetched again, alone', { skip }, async () => {
  await page.evaluate((url) => sumOf(url), url);
  const asked = ranges();
  await page.evaluate(async ([url, at]) => {
    // The file system is that of the origin, so a page can do the damage.
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle('eaglet');
    for await (const folder of root.values()) {
      const manifest = await (await (await folder.getFileHandle('a.json')).getFile()).text();
      if (!manifest.includes(url)) continue;
      const data = await folder.getFileHandle('data');
      const writable = await data.createWritable({ keepExistingData: true });
      await writable.write({ type: 'write', position: at, data: new Uint8Array([1, 2, 3, 4]) });
      await writable.close();
    }
  }, [url, 2 * CHUNK + 77]);
  const got = await page.evaluate((url) => sumOf(url), url);
  assert.equal(got.repaired, 1);
  assert.equal(got.sum, expectedSum());
  assert.equal(ranges() - asked, 1);
});

test('a file that was cut short is found and completed', { skip }, async () => {
  await page.evaluate((url) => sumOf(url), url);
  await page.evaluate(async (url) => {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle('eaglet');
    for await (const folder of root.values()) {
      const manifest = await (await (await folder.getFileHandle('a.json')).getFile()).text();
      if (!manifest.includes(url)) continue;
      const writable = await (await folder.getFileHandle('data')).createWritable({ keepExistingData: true });
      await writable.truncate(9_000_000);
      await writable.close();
    }
  }, url);
  const got = await page.evaluate((url) => sumOf(url), url);
  assert.equal(got.sum, expectedSum());
  assert.equal(got.repaired, 4);
});

test('the hash of the whole file is verified', { skip }, async () => {
  const right = sha256(bytes);
  const got = await page.evaluate(([url, integrity]) => sumOf(url, { integrity }), [url, right]);
  assert.equal(got.sum, expectedSum());
  const wrong = await page.evaluate(([url, integrity]) => failure(Eaglet.load(url, { integrity })), [url, sha256(bytes.subarray(1))]);
  assert.equal(wrong.name, 'IntegrityError');
  assert.equal(await page.evaluate((url) => Eaglet.cache.has(url), url), false, 'a wrong file is not kept');
});

test('the cache lists and deletes, a file or a folder', { skip }, async () => {
  const folder = server.url('/folder/');
  const small = (name, content) => server.add(`/folder/${name}`, Buffer.from(content));
  small('config.json', '{}');
  small('tokenizer.json', '{"a": 1}');
  small('model.safetensors.index.json', JSON.stringify({ weight_map: { a: 'one.safetensors', b: 'two.safetensors', c: 'one.safetensors' } }));
  small('one.safetensors', 'first');
  small('two.safetensors', 'second');
  const names = await page.evaluate(async (folder) => {
    const engine = await Eaglet.load(folder);
    const stats = await engine.stats();
    await engine.unload();
    return stats.files.map((file) => file.name);
  }, folder);
  assert.deepEqual(names.sort(), ['config.json', 'model.safetensors.index.json', 'one.safetensors', 'tokenizer.json', 'two.safetensors']);
  // What the server does not have is remembered too.
  const asked = server.requests('/folder/tokenizer_config.json').length;
  const result = await page.evaluate(async ([folder, url]) => {
    await sumOf(folder);
    await sumOf(url);
    const before = (await Eaglet.cache.list()).map((file) => file.url);
    return {
      before,
      has: [await Eaglet.cache.has(folder), await Eaglet.cache.has(url)],
      deleted: [await Eaglet.cache.delete(folder), await Eaglet.cache.delete(folder)],
      after: [await Eaglet.cache.has(folder), await Eaglet.cache.has(url)],
    };
  }, [folder, url]);
  assert.equal(result.before.filter((one) => one.startsWith(folder)).length, 5);
  assert.deepEqual(result.has, [true, true]);
  assert.deepEqual(result.deleted, [true, false]);
  assert.deepEqual(result.after, [false, true]);
  assert.equal(asked, 1);
  assert.equal(server.requests('/folder/tokenizer_config.json').length, asked);
});

test('without ranges, without the cache, and from files of a person', { skip }, async () => {
  how.ranges = false;
  const streamed = await page.evaluate((url) => sumOf(url, { cache: false }), url);
  assert.equal(streamed.sum, expectedSum());
  assert.equal(streamed.stored, 'memory');
  assert.equal(await page.evaluate((url) => Eaglet.cache.has(url), url), false);
  const given = await page.evaluate(async (url) => {
    const blob = await (await fetch(url)).blob();
    return sumOf(new File([blob], 'mine.gguf'));
  }, url);
  assert.equal(given.sum, expectedSum());
  assert.equal(given.name, 'mine.gguf');
  const held = await page.evaluate(async (url) => {
    const address = URL.createObjectURL(await (await fetch(url)).blob());
    const before = (await Eaglet.cache.list()).length;
    const got = await sumOf(address);
    URL.revokeObjectURL(address);
    return { ...got, kept: (await Eaglet.cache.list()).length - before, revoked: await failure(Eaglet.load(address)) };
  }, url);
  assert.deepEqual([held.sum, held.from, held.kept, held.revoked.code], [expectedSum(), 'page', 0, 'file']);
});

test('from another origin, even one that hides its headers', { skip }, async () => {
  how.expose = '';
  const other = url.replace('127.0.0.1', 'localhost');
  // Without any word of its size the file comes as one stream.
  for (const [length, head] of [[true, false], [true, true], [false, true]]) {
    Object.assign(how, { length, head });
    const got = await page.evaluate((url) => sumOf(url, { cache: 'reload' }), other);
    assert.equal(got.sum, expectedSum());
    assert.equal(got.bytes, bytes.length);
  }
});

test('two loads of one file at a time fetch it once', { skip }, async () => {
  how.delay = 1;
  const sums = await page.evaluate((url) => Promise.all([sumOf(url), sumOf(url)]), url);
  assert.deepEqual(sums.map((one) => one.sum), [expectedSum(), expectedSum()]);
  assert.deepEqual(sums.map((one) => one.from).sort(), ['cache', 'network']);
  assert.equal(ranges(), 6);
});

test('a file that another load reads is not deleted', { skip }, async () => {
  const result = await page.evaluate(async (url) => {
    await sumOf(url);
    let busy;
    // Called while the stand-in reads, as a page would call it at any time.
    const onProgress = ({ stage }) => {
      if (stage === 'load') busy ??= failure(Eaglet.cache.delete(url));
    };
    await sumOf(url, { onProgress });
    return { busy: await busy, after: await Eaglet.cache.delete(url) };
  }, url);
  assert.equal(result.busy.code, 'file');
  assert.match(result.busy.message, /in use by a load/);
  assert.equal(result.after, true);
});

test('a server that compresses ranges is asked for the whole file', { skip }, async () => {
  how.garbled = true;
  const got = await page.evaluate((url) => sumOf(url), url);
  assert.deepEqual([got.sum, got.stored], [expectedSum(), 'opfs']);
});

test('what is wrong with an address or a file is said', { skip }, async () => {
  const none = await page.evaluate((url) => failure(Eaglet.load(url)), server.url('/none.gguf'));
  assert.equal(none.code, 'file');
  assert.match(none.message, /none\.gguf: the server has no such file/);
  server.add('/broken.gguf', Buffer.from('nonsense'));
  const broken = await page.evaluate((url) => failure(Eaglet.load(url)), server.url('/broken.gguf'));
  assert.match(broken.message, /not a valid GGUF/);
});

test('a storage that is too small is left for memory, which is said', { skip }, async () => {
  const session = await browser.context.newCDPSession(page);
  await page.evaluate(async () => {
    for (const file of await Eaglet.cache.list()) await Eaglet.cache.delete(file.url);
  });
  const { usage } = await page.evaluate(() => navigator.storage.estimate());
  await session.send('Storage.overrideQuotaForOrigin', { origin: server.url('').replace(/\/$/, ''), quotaSize: usage + 9_000_000 });
  const told = await page.evaluate(async (url) => {
    const notes = [];
    const got = await sumOf(url, { onProgress: ({ note }) => note && notes.push(note) });
    return { ...got, notes, kept: await Eaglet.cache.has(url), refused: await failure(Eaglet.load(url, { cache: 'require' })) };
  }, url);
  assert.equal(told.sum, expectedSum());
  assert.equal(told.stored, 'memory');
  assert.match(told.note, /memory only: /);
  assert.deepEqual([...new Set(told.notes)], [told.note]);
  assert.equal(told.kept, false);
  assert.equal(told.refused.name, 'QuotaExceeded');
  // A server that does not tell the size: the browser itself says that it is full.
  Object.assign(how, { ranges: false, length: false });
  const streamed = await page.evaluate((url) => sumOf(url), url);
  assert.equal(streamed.sum, expectedSum());
  assert.match(streamed.note, /storage is full/);
});
