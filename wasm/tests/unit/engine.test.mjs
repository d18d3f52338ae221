// The page's side and the worker's, with a channel in place of the worker and a stand-in
// for the wasm module.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';

import { Eaglet } from '../../dist/index.js';
import { serve } from '../../dist/worker/serve.js';
import * as fake from '../support/fake_wasm/eaglet_wasm.js';

let engine;
const ports = [];

/** Loads the fake model through a channel; an empty file needs no synchronous reader. */
function load(options = {}, source = new Blob([])) {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  serve(port2, { wasm: fake, webgpu: fake });
  port2.start();
  return Eaglet.load(source, { worker: port1, ...options });
}

before(() => (globalThis.FileReaderSync = class {}));
beforeEach(async () => (engine = await load()));
after(() => ports.forEach((port) => port.close()));

const user = (content) => [{ role: 'user', content }];
const collect = async (stream) => {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return pieces;
};

test('an answer has the shape of OpenAI', async () => {
  const answer = await engine.chat.completions.create({ messages: user('one two three four'), model: 'ignored' });
  assert.match(answer.id, /^chatcmpl-[0-9a-f]{24}$/);
  assert.equal(answer.object, 'chat.completion');
  assert.ok(Math.abs(answer.created - Date.now() / 1000) < 5 && Number.isInteger(answer.created));
  assert.equal(answer.model, 'model');
  assert.deepEqual(answer.choices, [{
    index: 0,
    message: { role: 'assistant', content: 'one two three four', refusal: null },
    logprobs: null,
    finish_reason: 'stop',
  }]);
  const { usage } = answer;
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  assert.equal(usage.completion_tokens, 4);
  assert.equal(usage.extra.decode_tokens_per_s, 6);
  assert.equal(usage.extra.tau, 2);
  assert.deepEqual(usage.extra.acceptance_by_depth, [0.75, 0.5]);
  assert.deepEqual(usage.extra.tried_by_depth, [4, 2]);
  assert.equal(usage.extra.dispatches_per_token, 10);
  assert.equal(usage.extra.finish, 'stop');
});

test('a streamed answer: role first, then text, then the reason, then the usage', async () => {
  const request = { messages: user('a b c d e'), stream: true, stream_options: { include_usage: true } };
  const chunks = await collect(await engine.chat.completions.create(request));
  assert.deepEqual(chunks[0].choices[0].delta, { role: 'assistant', content: '' });
  assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join(''), 'a b c d e');
  assert.deepEqual(chunks.at(-2).choices[0], { index: 0, delta: {}, logprobs: null, finish_reason: 'stop' });
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.equal(chunks.at(-1).usage.completion_tokens, 5);
  assert.ok(chunks.slice(0, -1).every((chunk) => chunk.usage === null));
  assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
  assert.deepEqual(chunks[1].extra.tokens.map((token) => token.drafted), [true, true, false]);
  const without = await collect(await engine.chat.completions.create({ messages: user('a'), stream: true }));
  assert.ok(without.every((chunk) => !('usage' in chunk)));
});

test('log probabilities, in both shapes', async () => {
  const chat = await engine.chat.completions.create({ messages: user('hé'), logprobs: true, top_logprobs: 2 });
  assert.deepEqual(chat.choices[0].logprobs, {
    content: [{
      token: 'hé', logprob: -0.5, bytes: [104, 195, 169],
      top_logprobs: [
        { token: 'hé', logprob: -0.5, bytes: [104, 195, 169] },
        { token: 'other', logprob: -1.5, bytes: [111, 116, 104, 101, 114] },
      ],
    }],
    refusal: null,
  });
  const alone = await engine.chat.completions.create({ messages: user('x'), logprobs: true });
  assert.deepEqual(alone.choices[0].logprobs.content[0].top_logprobs, []);
  const text = await engine.complete({ prompt: 'a b', logprobs: 1 });
  assert.deepEqual(text.choices[0].logprobs, {
    tokens: ['a', ' b'], token_logprobs: [-0.5, -0.5], top_logprobs: [{ a: -0.5 }, { ' b': -0.5 }], text_offset: [0, 1],
  });
  const stopped = await engine.complete({ prompt: 'a b c', logprobs: 0, stop: ' c' });
  assert.deepEqual(stopped.choices[0].logprobs.tokens, ['a', ' b'], 'a stop string is no part of the answer');
});

test('draws without a seed differ, and say which seed repeats them', async () => {
  const ask = async (more) => (await engine.chat.completions.create({ messages: user('x'), ...more })).usage.extra.seed;
  const [first, second] = [await ask({ temperature: 1 }), await ask({ temperature: 1, seed: null })];
  assert.ok(Number.isInteger(first) && first >= 0 && first !== second, `${first}, ${second}`);
  assert.equal(await ask({ temperature: 1, seed: 7 }), 7);
  assert.equal(await ask({ temperature: 0 }), undefined);
});

test('completions, whole and streamed', async () => {
  const whole = await engine.complete({ prompt: 'a b c', max_tokens: 2 });
  assert.equal(whole.object, 'text_completion');
  assert.equal(whole.choices[0].text, 'a b');
  assert.equal(whole.choices[0].finish_reason, 'length');
  const request = { prompt: 'a b c d', stream: true, stream_options: { include_usage: true } };
  const pieces = await collect(await engine.complete(request));
  assert.equal(pieces.map((piece) => piece.choices[0]?.text ?? '').join(''), 'a b c d');
  assert.equal(pieces.at(-2).choices[0].finish_reason, 'stop');
  assert.equal(pieces.at(-1).usage.completion_tokens, 4);
});

test('stop strings and limits end the answer', async () => {
  const stopped = await engine.chat.completions.create({ messages: user('one two three four'), stop: ' three' });
  assert.equal(stopped.choices[0].message.content, 'one two');
  assert.equal(stopped.choices[0].finish_reason, 'stop');
  for (const limit of ['max_tokens', 'max_completion_tokens']) {
    const cut = await engine.chat.completions.create({ messages: user('one two three four'), [limit]: 2 });
    assert.equal(cut.choices[0].finish_reason, 'length');
  }
});

test('content in parts, and the developer role', async () => {
  const answer = await engine.chat.completions.create({
    messages: [
      { role: 'developer', content: 'be brief' },
      { role: 'user', content: [{ type: 'text', text: 'one ' }, { type: 'text', text: 'two' }] },
    ],
  });
  assert.equal(answer.choices[0].message.content, 'one two');
});

test('the next turn reuses what the conversation has', async () => {
  const first = await engine.chat.completions.create({ messages: user('one two') });
  assert.equal(first.usage.extra.reused_tokens, 0);
  const messages = [...user('one two'), first.choices[0].message, ...user('three')];
  const second = await engine.chat.completions.create({ messages });
  assert.ok(second.usage.extra.reused_tokens >= 4);
  assert.equal(second.usage.prompt_tokens_details.cached_tokens, second.usage.extra.reused_tokens);
});

test('tokens and back', async () => {
  const ids = await engine.tokenize('some words here');
  assert.ok(ids instanceof Uint32Array && ids.length === 3);
  assert.equal(await engine.detokenize([...ids]), 'some words here');
  for (const text of [5, null, {}]) await assert.rejects(engine.tokenize(text), { name: 'InvalidRequest' });
  for (const wrong of [null, undefined, ['a'], [-1], [0.5]]) await assert.rejects(engine.detokenize(wrong), { name: 'InvalidRequest' });
});

test('loads in one worker do not get each other\'s answers', async () => {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  let begin;
  const begun = new Promise((go) => (begin = go));
  const slow = { ...fake, Engine: { load: async (...args) => (await begun, fake.Engine.load(...args)) } };
  serve(port2, { wasm: slow, webgpu: slow });
  port2.start();
  const controller = new AbortController();
  const first = Eaglet.load(new Blob([]), { worker: port1, signal: controller.signal });
  controller.abort();
  await assert.rejects(first, { name: 'AbortError' });
  const second = Eaglet.load(new File([], 'second.gguf'), { worker: port1 });
  begin();
  const { files } = await (await second).stats();
  assert.deepEqual(files.map((file) => file.name), ['second.gguf']);
});

test('a fault of the author\'s own in a worker of theirs ends no engine', async () => {
  const theirs = new EventTarget();
  theirs.postMessage = ({ id, op }) => {
    const value = op === 'load' ? { stats: {}, files: [] } : 'words';
    queueMicrotask(() => theirs.dispatchEvent(new MessageEvent('message', { data: { id, value } })));
  };
  const engine = await Eaglet.load(new Blob([]), { worker: theirs });
  theirs.dispatchEvent(new Event('error'));
  assert.equal(await engine.detokenize([0]), 'words');
});

test('where there are no workers, loading says so', async () => {
  await assert.rejects(Eaglet.load(new Blob([])), { code: 'unsupported' });
});

test('what would silently be left out is refused', async () => {
  const refused = async (request, message) => {
    const asked = engine.chat.completions.create({ messages: user('x'), ...request });
    await assert.rejects(asked, (error) => {
      assert.equal(error.name, 'InvalidRequest');
      assert.match(error.message, message);
      return true;
    });
  };
  await refused({ n: 2 }, /n must be 1/);
  await refused({ tools: [] }, /"tools" is not supported/);
  await refused({ max_token: 3 }, /"max_token" is not supported/);
  await refused({ max_tokens: 1.5 }, /max_tokens must be a whole number/);
  await refused({ max_completion_tokens: 0 }, /max_completion_tokens must be a whole number/);
  await refused({ response_format: { type: 'json_object' } }, /response_format can only be/);
  await refused({ messages: [{ role: 'assistant', content: null }] }, /has no content/);
  for (const seed of [-1, 0.5, 2 ** 60, 5n]) await refused({ seed }, /seed must be a whole number/);
  await refused({ messages: [null] }, /messages\[0\] is no message/);
  await refused({ messages: [{ role: 'assistant', content: 'x', tool_calls: [{}] }] }, /"tool_calls" is not supported/);
  await refused({ top_logprobs: 3 }, /needs logprobs/);
  await refused({ logprobs: true, top_logprobs: 21 }, /from 0 to 20/);
  await refused({ stop: [''] }, /stop must be/);
  await refused({ messages: [] }, /at least one message/);
  await refused({ messages: [{ role: 'tool', content: 'x' }] }, /role "tool"/);
  await refused({ messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }, /images/);
  await assert.rejects(engine.complete({}), /prompt must be a string/);
  await assert.rejects(load({ devices: 'auto' }), /no option "devices"/);
  await assert.rejects(load({ device: 'gpu' }), /device must be one of/);
  await assert.rejects(load({ context: -1 }), /context must be/);
  await assert.rejects(load({ headIntegrity: 'sha256-x' }), /headIntegrity needs a head/);
  await assert.rejects(load({ head: new Blob([]), headIntegrity: 'sha256-x' }), /headIntegrity of the weights: "sha256-x" is not/);
  await assert.rejects(load({}, []), /the list of files is empty/);
  await assert.rejects(load({}, 'http://'), /not an address/);
});

test('what changes nothing is accepted', async () => {
  const answer = await engine.chat.completions.create({ messages: user('half \ud83d'), response_format: { type: 'text' } });
  assert.equal(answer.choices[0].message.content, 'half \ufffd', 'as the platform writes UTF-8');
});

test('errors of the engine come with their class', async () => {
  const fails = (code) => engine.chat.completions.create({ messages: user(`ERROR ${code}`) });
  await assert.rejects(fails('lost'), { name: 'DeviceLost' });
  await assert.rejects(fails('limit'), { name: 'LimitTooSmall', needed: 2, actual: 1 });
  const small = await load({ context: 4 });
  const long = small.chat.completions.create({ messages: user('one two three four five') });
  await assert.rejects(long, { name: 'ContextFull', needed: 7, capacity: 4 });
  await assert.rejects(small.chat.completions.create({ messages: user('ERROR lost'), stream: true }), { name: 'DeviceLost' });
  await assert.rejects(load({ device: 'webgpu' }), { name: 'NoWebGPU' });
  const unnamed = Object.assign(new Blob([]), { name: 'broken.gguf' });
  await assert.rejects(load({}, unnamed), { code: 'file' });
});

test('an abort ends an answer, and the next one works', async () => {
  const controller = new AbortController();
  const request = { messages: user('ENDLESS SLOW words'), signal: controller.signal };
  setTimeout(() => controller.abort(), 120);
  await assert.rejects(engine.chat.completions.create(request), { name: 'AbortError' });
  const stream = await engine.chat.completions.create({ messages: user('ENDLESS SLOW words'), stream: true });
  setTimeout(() => stream.abort(), 120);
  await assert.rejects(collect(stream), { name: 'AbortError' });
  await assert.rejects(engine.chat.completions.create(request), { name: 'AbortError' }, 'aborted before it began');
  const late = { messages: user('ENDLESS SLOW words'), signal: AbortSignal.timeout(120) };
  await assert.rejects(engine.chat.completions.create(late), ({ name, message, cause }) =>
    name === 'AbortError' && /time is over/.test(message) && cause.name === 'TimeoutError');
  const next = await engine.chat.completions.create({ messages: user('fine') });
  assert.equal(next.choices[0].message.content, 'fine');
  assert.equal(fake.alive.generations, 0);
});

test('a long prompt is given up when its answer is no longer wanted', async () => {
  const asked = performance.now();
  const request = { messages: user('LONG words'), signal: AbortSignal.timeout(50) };
  await assert.rejects(engine.chat.completions.create(request), { name: 'AbortError' });
  const next = await engine.chat.completions.create({ messages: user('fine') });
  assert.ok(performance.now() - asked < 700, 'all of it takes a second');
  assert.ok(next.usage.extra.time_to_first_token_s < 0.7);
});

test('the wait for the first token is from the request on', async () => {
  const first = engine.chat.completions.create({ messages: user('SLOW a') });
  const { usage } = await engine.chat.completions.create({ messages: user('b') });
  await first;
  assert.ok(usage.extra.time_to_first_token_s >= 0.045, `${usage.extra.time_to_first_token_s}`);
});

test('a stream that is never read can be stopped', async () => {
  const stream = await engine.chat.completions.create({ messages: user('ENDLESS words'), stream: true });
  await stream[Symbol.asyncIterator]().return();
  const next = await engine.chat.completions.create({ messages: user('fine') });
  assert.equal(next.choices[0].message.content, 'fine');
});

test('leaving the loop stops the answer', async () => {
  const stream = await engine.chat.completions.create({ messages: user('ENDLESS words'), stream: true });
  let seen = 0;
  for await (const chunk of stream) if (chunk.extra && ++seen === 3) break;
  const next = await engine.chat.completions.create({ messages: user('fine') });
  assert.equal(next.choices[0].message.content, 'fine');
  assert.equal(fake.alive.generations, 0);
});

test('requests made at once are answered in their order', async () => {
  const order = [];
  const ask = (word) => engine.chat.completions.create({ messages: user(word) }).then(() => order.push(word));
  await Promise.all(['SLOW a', 'b', 'c'].map(ask));
  assert.deepEqual(order, ['SLOW a', 'b', 'c']);
});

test('unloading frees the engine and fails what waits', async () => {
  const engines = fake.alive.engines;
  const waiting = engine.chat.completions.create({ messages: user('ENDLESS SLOW words') });
  const told = assert.rejects(waiting, { code: 'unloaded' });
  await new Promise((go) => setTimeout(go, 60));
  await engine.unload();
  await told;
  assert.equal(fake.alive.engines, engines - 1);
  assert.equal(fake.alive.generations, 0);
  await assert.rejects(engine.tokenize('x'), { code: 'unloaded' });
  await engine.unload();
});

test('stats tell the device, why, and where the files lie', async () => {
  const stats = await engine.stats();
  assert.equal(stats.device.name, 'wasm');
  assert.ok(stats.device.why);
  assert.deepEqual(stats.files, [{ name: 'model.gguf', bytes: 0, from: 'page', stored: 'page', repaired: 0 }]);
  assert.ok(stats.memory.wasm > 0);
});
