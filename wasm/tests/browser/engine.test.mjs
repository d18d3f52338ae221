// The package over the real wasm module, with the small model of the fixtures.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { lacking, open, start } from '../support/browser.mjs';
import { folder, lackingFixtures } from '../support/fixtures.mjs';
import { lackingWasm } from '../support/scratch.mjs';

const skip = lacking() ?? lackingWasm() ?? lackingFixtures();
let browser, page;

before(async () => {
  if (skip) return;
  browser = await start({ seconds: 120 });
  browser.server.mount('/fixtures/', folder);
  page = await open(browser.context, browser.server, '/');
  await page.evaluate(async () => {
    globalThis.model = '/fixtures/tiny.gguf';
    globalThis.head = ['/fixtures/eagle3/config.json', '/fixtures/eagle3/model.safetensors'];
    globalThis.failure = (promise) => promise.then(() => 'no error', ({ name, code, message, needed, capacity }) => ({ name, code, message, needed, capacity }));
    globalThis.engine = await Eaglet.load(model, { device: 'wasm', head });
  });
});
after(() => browser?.end());

const say = (content) => [{ role: 'user', content }];

test('stats name the model, the head, the device and why', { skip }, async () => {
  const stats = await page.evaluate(() => engine.stats());
  assert.equal(stats.head.method, 'eagle3');
  assert.equal(stats.device.name, 'wasm');
  assert.ok(stats.device.why.length > 0);
  assert.ok(stats.device.candidates.some((one) => one.ok && one.seconds_per_pass > 0));
  assert.ok(stats.memory.wasm > stats.memory.weights && stats.memory.weights > 0);
  assert.deepEqual(stats.files.map((file) => file.name), ['tiny.gguf', 'config.json', 'model.safetensors']);
  assert.ok(stats.storage.quota > 0);
});

test('auto takes the processor where a processor plays the GPU, and says so', { skip }, async () => {
  const device = await page.evaluate(async () => {
    const engine = await Eaglet.load(model);
    const { device } = await engine.stats();
    await engine.unload();
    return device;
  });
  const webgpu = device.candidates.find((one) => one.name === 'webgpu');
  assert.equal(device.name, 'wasm');
  assert.ok(!webgpu.ok && device.why.includes(webgpu.reason), JSON.stringify(device));
  assert.match(webgpu.reason, /WebGPU/);
});

test('the second turn reuses the first', { skip }, async () => {
  const turns = await page.evaluate(async (messages) => {
    const first = await engine.chat.completions.create({ messages, max_tokens: 12 });
    const { role, content } = first.choices[0].message;
    const next = [...messages, { role, content }, { role: 'user', content: 'Go on.' }];
    const second = await engine.chat.completions.create({ messages: next, max_tokens: 12 });
    return [first.usage, second.usage];
  }, say('Why is the sky blue?'));
  assert.ok(turns[1].extra.reused_tokens > 0);
  assert.ok(turns[1].extra.reused_tokens >= turns[0].prompt_tokens - 1, JSON.stringify(turns));
  assert.equal(turns[1].prompt_tokens_details.cached_tokens, turns[1].extra.reused_tokens);
  assert.ok(turns[0].extra.tau >= 1 && turns[0].extra.decode_tokens_per_s > 0);
});

test('a stop string is where the answer ends, in a stream too', { skip }, async () => {
  const { whole, stopped, streamed, stop } = await page.evaluate(async (messages) => {
    const ask = (more) => engine.chat.completions.create({ messages, max_tokens: 40, ...more });
    const whole = (await ask({})).choices[0].message.content;
    const stop = whole.slice(10, 14);
    const stopped = (await ask({ stop })).choices[0];
    let streamed = '';
    for await (const chunk of await ask({ stop: [stop], stream: true })) streamed += chunk.choices[0]?.delta.content ?? '';
    return { whole, stop, stopped, streamed };
  }, say('Tell me a story.'));
  const expected = whole.slice(0, whole.indexOf(stop));
  assert.equal(stopped.message.content, expected);
  assert.equal(stopped.finish_reason, 'stop');
  assert.equal(streamed, expected);
});

test('log probabilities are of the tokens, the likeliest first', { skip }, async () => {
  const [{ logprobs, message }] = await page.evaluate(
    async (messages) => (await engine.chat.completions.create({ messages, max_tokens: 6, logprobs: true, top_logprobs: 3 })).choices,
    say('Hello'),
  );
  assert.ok(logprobs.content.length > 0);
  for (const { logprob, top_logprobs } of logprobs.content) {
    assert.ok(logprob <= 0 && top_logprobs.length === 3);
    assert.ok(Math.abs(top_logprobs[0].logprob - logprob) < 1e-6, 'greedy takes the likeliest');
    assert.ok(top_logprobs[1].logprob <= top_logprobs[0].logprob);
  }
  assert.equal(Buffer.from(logprobs.content.flatMap((one) => one.bytes)).toString(), message.content);
});

test('tokens and back', { skip }, async () => {
  const text = 'one two three';
  assert.equal(await page.evaluate(async (text) => engine.detokenize(await engine.tokenize(text)), text), text);
});

test('a full context and a wrong request are errors, and the engine goes on', { skip }, async () => {
  const result = await page.evaluate(async () => {
    const small = await Eaglet.load(model, { device: 'wasm', context: 32 });
    const long = [{ role: 'user', content: 'word '.repeat(200) }];
    const full = await failure(small.chat.completions.create({ messages: long }));
    const wrong = await failure(small.complete({ prompt: 'x', temperature: -1 }));
    const cut = await small.complete({ prompt: 'one two three' });
    await small.unload();
    return { full, wrong, cut };
  });
  assert.equal(result.full.name, 'ContextFull');
  assert.ok(result.full.needed > result.full.capacity && result.full.capacity > 0);
  assert.equal(result.wrong.name, 'InvalidRequest');
  assert.ok(['length', 'stop'].includes(result.cut.choices[0].finish_reason));
  assert.ok(result.cut.usage.total_tokens <= 32 + 1);
});

test('an abort in the middle, and the next answer is whole', { skip }, async () => {
  const result = await page.evaluate(async (messages) => {
    // Plain, so that each piece is one token, and the end is known to be further away.
    const ask = (more) => engine.chat.completions.create({ messages, method: 'plain', max_tokens: 30, ...more });
    const before = await ask();
    const controller = new AbortController();
    const stream = await ask({ max_tokens: 3000, signal: controller.signal, stream: true });
    let seen = 0;
    const read = (async () => {
      for await (const { extra } of stream) if (extra && ++seen === 3) controller.abort();
    })();
    const error = await failure(read);
    const after = await ask();
    return { before, name: error.name, seen, after };
  }, say('Count.'));
  const { before, after } = result;
  assert.ok(before.usage.completion_tokens > 10, 'an answer that is long enough to be cut');
  assert.deepEqual([result.name, result.seen], ['AbortError', 3]);
  assert.equal(after.choices[0].message.content, before.choices[0].message.content);
  assert.ok(after.usage.extra.reused_tokens >= before.usage.prompt_tokens - 1);
});

test('memory does not grow, over answers and over loads', { skip }, async () => {
  const grown = await page.evaluate(async (messages) => {
    const wasm = async (engine) => (await engine.stats()).memory.wasm;
    const ask = (method) => engine.chat.completions.create({ messages, max_tokens: 24, method });
    for (let i = 0; i < 3; i++) await ask('eagle3');
    const answers = [];
    for (let i = 0; i < 12; i++) {
      await ask('eagle3');
      answers.push(await wasm(engine));
    }
    // In one worker, or each load would have a memory of its own.
    const worker = new Worker('/worker/entry.js', { type: 'module' });
    const loads = [];
    for (let i = 0; i < 6; i++) {
      const other = await Eaglet.load(model, { device: 'wasm', head, worker });
      loads.push(await wasm(other));
      await other.unload();
    }
    worker.terminate();
    return { answers, loads };
  }, say('Why is the sky blue?'));
  // Times decide how wide a tree is, so one growth may still come; a leak would go on.
  assert.ok(new Set(grown.answers).size <= 2, String(grown.answers));
  assert.ok(new Set(grown.loads.slice(1)).size <= 2, String(grown.loads));
  await new Promise((go) => setTimeout(go, 300));
  assert.equal(page.workers().length, 1, 'only that of the engine at hand');
});
