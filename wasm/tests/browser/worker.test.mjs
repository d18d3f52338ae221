// The worker in a real browser: where it may be started from, that it lets the page live,
// that it ends; with the stand-in for the wasm module.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { lacking, open, start } from '../support/browser.mjs';
import { noise } from '../support/server.mjs';

const skip = lacking();
let browser, server, page, url;

before(async () => {
  if (skip) return;
  browser = await start({ seconds: 90 });
  server = browser.server;
  server.add('/tiny.gguf', noise(5_000_000));
  url = server.url('/tiny.gguf');
  page = await open(browser.context, server);
});
after(() => browser?.end());

test('an answer streams while the page stays alive', { skip }, async () => {
  const result = await page.evaluate(async (url) => {
    globalThis.engine = await Eaglet.load(url);
    let frames = 0;
    const tick = () => (frames++, requestAnimationFrame(tick));
    tick();
    const times = [];
    const messages = [{ role: 'user', content: 'SLOW one two three four five six seven eight nine ten' }];
    for await (const chunk of await engine.chat.completions.create({ messages, stream: true })) {
      if (chunk.extra) times.push(performance.now());
    }
    return { frames, pieces: times.length, spread: times.at(-1) - times[0] };
  }, url);
  assert.ok(result.pieces >= 4);
  assert.ok(result.spread > 100, 'pieces come as they are made');
  assert.ok(result.frames > 5, `${result.frames} frames`);
});

test('an abort reaches a worker that is computing', { skip }, async () => {
  const result = await page.evaluate(async () => {
    const controller = new AbortController();
    const messages = [{ role: 'user', content: 'ENDLESS SLOW words' }];
    const begun = performance.now();
    setTimeout(() => controller.abort(), 150);
    const error = await engine.chat.completions.create({ messages, signal: controller.signal }).catch((error) => error);
    const rejected = performance.now() - begun;
    const next = await engine.chat.completions.create({ messages: [{ role: 'user', content: 'fine' }] });
    return { name: error.name, rejected, next: next.choices[0].message.content };
  });
  assert.equal(result.name, 'AbortError');
  assert.ok(result.rejected < 1000);
  assert.equal(result.next, 'fine');
});

test('an abort reaches a worker that reads a long prompt, and other calls do not wait for it', { skip }, async () => {
  const result = await page.evaluate(async () => {
    const messages = [{ role: 'user', content: 'LONG words' }];
    const begun = performance.now();
    const since = () => performance.now() - begun;
    const asked = engine.chat.completions.create({ messages, signal: AbortSignal.timeout(150) });
    const ids = await engine.tokenize('one two');
    const tokenized = since();
    const error = await asked.catch(({ name, cause }) => ({ name, cause: cause.name }));
    await engine.chat.completions.create({ messages: [{ role: 'user', content: 'fine' }] });
    return { error, ids: ids.length, tokenized, next: since() };
  });
  assert.deepEqual(result.error, { name: 'AbortError', cause: 'TimeoutError' });
  assert.equal(result.ids, 2);
  assert.ok(result.tokenized < 140 && result.next < 800, `${result.tokenized} and ${result.next} ms of 1000`);
});

test('a load starts one worker, and unloading ends it', { skip }, async () => {
  // The browser tells of an end a little later.
  const left = async (count) => {
    for (let i = 0; i < 100 && page.workers().length !== count; i++) await new Promise((go) => setTimeout(go, 50));
    assert.equal(page.workers().length, count);
  };
  await page.evaluate(() => engine.unload());
  for (let i = 0; i < 3; i++) {
    await left(0);
    await page.evaluate(async (url) => (globalThis.engine = await Eaglet.load(url)) && undefined, url);
    await left(1);
    await page.evaluate(() => engine.unload());
  }
  await left(0);
});

test('from a worker of the page', { skip }, async () => {
  const result = await page.evaluate((url) => new Promise((resolve, reject) => {
    const worker = new Worker('/tests/support/user_worker.js', { type: 'module' });
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.postMessage(url);
  }), url);
  assert.deepEqual(result, { text: 'one two', cached: true });
});

test('a package on another origin, such as a CDN', { skip }, async () => {
  const text = await page.evaluate(async ([url, cdn]) => {
    const { Eaglet } = await import(cdn);
    const engine = await Eaglet.load(url);
    const answer = await engine.chat.completions.create({ messages: [{ role: 'user', content: 'one two' }] });
    await engine.unload();
    return answer.choices[0].message.content;
  }, [url, server.url('/fake/index.js', 'localhost')]);
  assert.equal(text, 'one two');
});

test('without a private file system the Cache API keeps the weights', { skip }, async () => {
  const address = server.url('/other.gguf');
  const bytes = noise(9_000_000, 7);
  server.add('/other.gguf', bytes, { delay: 2 });
  const result = await page.evaluate(async (url) => {
    const worker = '/tests/support/no_opfs_worker.js';
    const load = async (options) => {
      const engine = await Eaglet.load(url, { worker, ...options });
      const { files, model } = await engine.stats();
      await engine.unload();
      return { ...files[0], sum: model.sum };
    };
    const controller = new AbortController();
    const onProgress = ({ loaded }) => loaded > 5e6 && controller.abort();
    const aborted = await load({ signal: controller.signal, onProgress }).catch((error) => error.name);
    const second = await load();
    const third = await load();
    // Damage, as a disk would do it.
    const cache = await caches.open('eaglet');
    const chunk = (await cache.keys()).find((request) => request.url.endsWith('/1'));
    await cache.put(chunk, new Response('nonsense'));
    const fourth = await load();
    const has = await Eaglet.cache.has(url);
    const listed = (await Eaglet.cache.list()).some((file) => file.url === url && file.complete);
    return { aborted, second, third, fourth, has, listed, deleted: await Eaglet.cache.delete(url), left: (await cache.keys()).length };
  }, address);
  assert.equal(result.aborted, 'AbortError');
  assert.equal(result.second.stored, 'cache');
  assert.equal(result.third.from, 'cache');
  assert.equal(result.fourth.repaired, 1);
  assert.equal(new Set([result.second.sum, result.third.sum, result.fourth.sum]).size, 1);
  assert.deepEqual([result.has, result.listed, result.deleted, result.left], [true, true, true, 0]);
});

test('a worker that cannot be loaded is an error, not a silence', { skip }, async () => {
  const error = await page.evaluate(async (url) => {
    const { code, message } = await Eaglet.load(url, { worker: '/none.js' }).catch((error) => error);
    return { code, message };
  }, url);
  assert.equal(error.code, 'internal');
  assert.match(error.message, /the worker failed/);
});
