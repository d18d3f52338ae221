// The module's own rules: what it tells, how it fails, what it keeps.

import assert from 'node:assert/strict';
import test from 'node:test';

import { answer, load, models, module, start } from './support.mjs';

const question = { messages: [{ role: 'user', content: 'Why is the sky blue?' }], max_tokens: 24 };

/** The error that a promise ends with. */
const failure = (promise) => promise.then(() => assert.fail('no error'), (error) => error);

test('it tells what was loaded, and where it runs', async () => {
  const told = [];
  const engine = await load('tiny', { head: 'eagle3', progress: (...at) => told.push(at) });
  const info = JSON.parse(engine.info());
  assert.equal(info.model.architecture, 'llama');
  assert.equal(info.head.method, 'eagle3');
  assert.equal(info.device.name, 'wasm');
  assert.match(info.device.description, /SIMD128/);
  const [webgpu, wasm] = info.device.candidates;
  assert.ok(!webgpu.ok && webgpu.reason && wasm.ok && wasm.seconds_per_pass > 0);
  assert.deepEqual(told.at(-1), [info.model.bytes, info.model.bytes]);
  engine.free();
});

test('weights are read once, one tensor at a time', async (t) => {
  if (!models.default) return t.skip('the default model is not here');
  const count = {};
  const engine = await load('default', { count });
  const { model, memory } = JSON.parse(engine.info());
  // The header is read with some megabytes to spare; nothing else is read twice.
  assert.ok(count.bytes < model.bytes + (16 << 20), `${count.bytes} of ${model.bytes}`);
  const { wasm } = JSON.parse(engine.memory());
  const most = memory.weights + memory.cache + count.largest + (96 << 20);
  assert.ok(wasm < most, `${wasm} bytes in use, ${most} at most`);
  engine.free();
});

test('a model that is freed leaves its memory to the next', async () => {
  const sizes = [];
  for (let i = 0; i < 6; i++) {
    const engine = await load('tiny', { head: 'eagle3' });
    await answer(engine, question);
    sizes.push(JSON.parse(engine.memory()).wasm);
    engine.free();
  }
  assert.equal(sizes.at(-1), sizes[2], String(sizes));
});

test('one answer at a time, and an end in the middle keeps what was said', async () => {
  const engine = await load('tiny');
  const whole = await answer(engine, question);
  const generation = await start(engine, { ...question, method: 'plain' });
  await generation.next();
  const second = await failure(start(engine, question));
  assert.equal(second.code, 'invalid');
  await generation.next();
  generation.free();
  const again = await answer(engine, question);
  assert.deepEqual(again.ids, whole.ids);
  assert.equal(again.usage.reused_tokens, again.usage.prompt_tokens - 1);
  engine.free();
});

test('a second turn reuses the first', async () => {
  const engine = await load('tiny', { head: 'eagle3' });
  const { text } = await answer(engine, question);
  const messages = [
    ...question.messages,
    { role: 'assistant', content: text },
    { role: 'user', content: 'And the sea?' },
  ];
  const { usage } = await answer(engine, { ...question, messages });
  assert.ok(usage.reused_tokens > 40, JSON.stringify(usage));
  engine.free();
});

test('stop strings, log-probabilities, biases', async () => {
  const engine = await load('tiny');
  const { text } = await answer(engine, question);
  const stop = text.slice(4, 6);
  const stopped = await answer(engine, { ...question, stop: [stop] });
  assert.equal(stopped.finish, 'stop');
  assert.equal(stopped.text, text.slice(0, text.indexOf(stop)));
  const { tokens } = await answer(engine, { ...question, logprobs: 2 });
  const told = tokens.filter((token) => token.bytes);
  assert.ok(told.length >= tokens.length - 1, 'all but the end of the turn');
  for (const { bytes, logprob, top } of told) {
    assert.ok(logprob < 0 && top.length === 2);
    assert.deepEqual(top[0], { bytes, logprob });
  }
  assert.equal(Buffer.from(told.flatMap((token) => token.bytes)).toString(), text);
  const biased = await answer(engine, { ...question, logit_bias: { 65: 100 } });
  assert.ok(biased.ids.every((id) => id === 65));
  engine.free();
});

test('a long prompt is read in parts, and can be given up between them', async () => {
  const engine = await load('tiny', { context: 256 });
  const long = { messages: [{ role: 'user', content: 'x'.repeat(100) }], max_tokens: 4 };
  let asked = 0;
  const generation = await start(engine, long, async () => ++asked === 3);
  const { finish, tokens } = JSON.parse(await generation.next());
  assert.deepEqual([finish, tokens, asked], ['stop', [], 3]);
  assert.equal(await generation.next(), undefined);
  generation.free();
  const whole = await answer(engine, long);
  assert.equal(whole.usage.reused_tokens, 64, 'what was read need not be read again');
  const other = await load('tiny', { context: 256 });
  assert.deepEqual(whole.ids, (await answer(other, long)).ids);
  // A function that cannot be asked has said nothing.
  const deaf = await start(other, { ...long, prompt: undefined }, () => { throw new Error('deaf'); });
  assert.equal(JSON.parse(await deaf.next()).tokens.length, 1);
  deaf.free();
  engine.free();
  other.free();
});

test('text to ids and back', async () => {
  const engine = await load('tiny');
  const ids = engine.tokenize('<|im_start|>héllo');
  assert.equal(ids.length, 7);
  assert.equal(engine.detokenize(ids), '<|im_start|>héllo');
  engine.free();
});

test('what cannot be done is an error with a code', async () => {
  const code = async (promise) => (await failure(promise)).code;
  assert.equal(await code(load('tiny', { device: 'webgpu' })), 'no_webgpu');
  assert.equal(await code(load('tiny', { dtype: 'q5' })), 'invalid');
  const bytes = new TextEncoder().encode('GGUX and more');
  const broken = () => new module.Source('x.gguf', bytes.length, (at, n) => bytes.slice(at, at + n));
  const error = await failure(module.Engine.load([broken()], [], '{}'));
  assert.ok(error instanceof Error && error.code === 'file', String(error));
  const short = new module.Source('x.gguf', 64, () => new Uint8Array(3));
  assert.match((await failure(module.Engine.load([short], [], '{}'))).message, /x\.gguf.*3 bytes of 64/);
  const thrower = new module.Source('x.gguf', 64, () => { throw new Error('gone'); });
  assert.match((await failure(module.Engine.load([thrower], [], '{}'))).message, /x\.gguf: gone/);

  const engine = await load('tiny', { context: 96 });
  assert.equal(await code(start(engine, {})), 'invalid');
  assert.equal(await code(start(engine, { ...question, method: 'eagle3' })), 'invalid');
  const long = { prompt: 'x'.repeat(100) };
  const full = await failure(start(engine, long));
  assert.deepEqual([full.code, full.needed, full.capacity], ['capacity', 101, 96]);
  const toTheEnd = await answer(engine, { prompt: 'x'.repeat(80) });
  assert.equal(toTheEnd.finish, 'context');
  engine.free();
});
