// The worker's side when the module traps where no promise of ours can see it.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { serve } from '../../dist/worker/serve.js';
import { pretend } from '../support/fake_locks.mjs';

/** A worker's global scope. */
class Scope extends EventTarget {
  posted = [];

  postMessage(message) {
    this.posted.push(message);
  }

  send(data) {
    this.dispatchEvent(new MessageEvent('message', { data }));
  }

  fault(type, fields) {
    this.dispatchEvent(Object.assign(new Event(type), fields));
  }
}

const id = (call) => `eaglet/1-2/${call}`;
const load = { op: 'load', args: { model: [], head: [], hashes: {}, headHashes: {}, mode: false, options: {} } };
const soon = () => new Promise((go) => setTimeout(go, 10));

for (const [type, field] of [['unhandledrejection', 'reason'], ['error', 'error']]) {
  test(`a trap that comes as ${type} answers what runs and what comes later`, async () => {
    const scope = new Scope();
    let late;
    const pending = new Promise((_, reject) => (late = reject));
    serve(scope, { wasm: { default: async () => {}, Engine: { load: () => pending } } });
    scope.send({ id: id(0), ...load });
    scope.send({ id: id(1), op: 'stats', args: null });
    await soon();
    scope.fault(type, { [field]: new TypeError("a fault of the page's author") });
    scope.fault(type, { [field]: new RangeError("their stack's end") });
    assert.deepEqual(scope.posted, []);
    scope.fault(type, { [field]: new WebAssembly.RuntimeError('unreachable') });
    scope.send({ id: id(2), op: 'unload', args: null });
    assert.deepEqual(scope.posted.map(({ id, error }) => [id, error.code]), [0, 1, 2].map((call) => [id(call), 'internal']));
    assert.match(scope.posted[0].error.message, /crashed \(unreachable\).* in a new worker/);
    late(new Error('after all'));
    await soon();
    assert.equal(scope.posted.length, 3, 'each call is answered once');
  });
}

test('what a trap leaves may refuse to be freed, and the trap is told', async () => {
  const scope = new Scope();
  const refuse = () => {
    throw new Error('already borrowed');
  };
  const generation = { next: async () => { throw new WebAssembly.RuntimeError('unreachable'); }, free: refuse };
  const engine = { start: async () => generation, info: () => '{}', memory: () => '{}', free: refuse };
  serve(scope, { wasm: { default: async () => {}, Engine: { load: async () => engine } } });
  scope.send({ id: id(0), ...load });
  scope.send({ id: id(1), op: 'generate', args: '{}' });
  scope.send({ id: id(2), op: 'unload', args: null });
  await soon();
  assert.match(scope.posted.find((message) => message.id === id(1)).error.message, /crashed \(unreachable\)/);
  assert.deepEqual(scope.posted.at(-1), { id: id(2), value: null });
});

test('a module that cannot be loaded fails the load', async () => {
  const scope = new Scope();
  serve(scope, { wasm: { default: () => Promise.reject(new Error('no module')) } });
  scope.send({ id: id(0), ...load });
  await soon();
  assert.equal(scope.posted[0].error.message, 'no module');
});

test('what the author of a page says to a worker of theirs is not answered', async () => {
  const scope = new Scope();
  serve(scope, { wasm: {} });
  for (const message of ['hello', undefined, { id: 0, op: 'stats', args: null }, { id: 'mine', cancel: true }]) scope.send(message);
  await soon();
  assert.deepEqual(scope.posted, []);
});

test("the end of the module's stack is a crash of it", async () => {
  const scope = new Scope();
  serve(scope, { wasm: { default: async () => {}, Engine: { load: () => new Promise(() => {}) } } });
  scope.send({ id: id(0), ...load });
  await soon();
  const reason = Object.assign(new RangeError('Maximum call stack size exceeded'), { stack: 'at wasm://wasm/0123:wasm-function[7]' });
  scope.fault('unhandledrejection', { reason });
  assert.equal(scope.posted[0].error.code, 'memory');
});

test('what needs no turn is answered while an answer is given, but not before the engine is there', async () => {
  const scope = new Scope();
  let loaded;
  const engine = { start: () => new Promise(() => {}), tokenize: () => [1, 2], info: () => '{}', memory: () => '{}' };
  serve(scope, { wasm: { default: async () => {}, Engine: { load: () => new Promise((go) => (loaded = () => go(engine))) } } });
  scope.send({ id: id(0), ...load });
  scope.send({ id: id(1), op: 'tokenize', args: 'x' });
  await soon();
  assert.deepEqual(scope.posted, []);
  loaded();
  await soon();
  scope.send({ id: id(2), op: 'generate', args: '{}' });
  scope.send({ id: id(3), op: 'tokenize', args: 'x' });
  scope.send({ id: id(4), op: 'unload', args: null });
  scope.send({ id: id(5), op: 'stats', args: null });
  await soon();
  assert.deepEqual(scope.posted.map((answer) => answer.id), [id(0), id(1), id(3)]);
});

/** What a load in a browser with a GPU gives, whose module fails in some way. */
async function loadWith(t, webgpu, device, fault, requestAdapter = async () => ({ info: {} })) {
  pretend(t, { gpu: { requestAdapter } });
  const scope = new Scope();
  const asked = [];
  const engine = { info: () => '{}', memory: () => '{}' };
  const wasm = { default: async () => {}, Engine: { load: async (model, head, options) => (asked.push(JSON.parse(options)), engine) } };
  serve(scope, { wasm, webgpu: { default: async () => {}, ...webgpu } });
  scope.send({ id: id(0), ...load, args: { ...load.args, options: { device } } });
  await soon();
  if (fault) scope.fault('unhandledrejection', { reason: fault });
  await soon();
  return { scope, asked, error: scope.posted[0].error, posted: scope.posted.length };
}

test('auto goes on without a GPU that fails, in whichever way, and says why', async (t) => {
  const fails = (error) => ({ Engine: { load: () => Promise.reject(error) } });
  const failure = (code) => Object.assign(new Error(`no ${code}`), { code });
  for (const code of ['lost', 'memory', 'limit', 'device']) {
    const { asked, error } = await loadWith(t, fails(failure(code)), 'auto');
    assert.deepEqual([asked, error], [[{ device: 'auto', gpu_failed: `no ${code}` }], undefined], code);
  }
  const missing = { default: async () => { throw new TypeError('404'); } };
  assert.deepEqual((await loadWith(t, missing, 'auto')).asked, [{ device: 'auto', gpu_failed: '404' }]);
  const hangs = { Engine: { load: () => new Promise(() => {}) } };
  const panic = Object.assign(failure('lost'), { panicked: 'webgpu' });
  const trapped = await loadWith(t, hangs, 'auto', panic);
  assert.deepEqual([trapped.asked, trapped.error], [[{ device: 'auto', gpu_failed: 'no lost' }], undefined]);

  // What was left complains again, and is not asked any more.
  const late = Object.assign(new WebAssembly.RuntimeError('unreachable'), { stack: 'at http://x/eaglet_webgpu_bg.wasm:wasm-function[7]' });
  for (const reason of [late, panic]) trapped.scope.fault('unhandledrejection', { reason });
  trapped.scope.send({ id: id(1), ...load, args: { ...load.args, options: { device: 'auto' } } });
  await soon();
  assert.deepEqual([trapped.scope.posted.at(-1).error, trapped.asked.length], [undefined, 2]);
  trapped.scope.send({ id: id(3), ...load, args: { ...load.args, options: { device: 'webgpu' } } });
  await soon();
  assert.match(trapped.scope.posted.at(-1).error.message, /crashed in this worker \(no lost\): load the model in a new one/);
  trapped.scope.fault('unhandledrejection', { reason: Object.assign(failure('internal'), { panicked: 'wasm' }) });
  trapped.scope.send({ id: id(2), op: 'stats', args: null });
  assert.equal(trapped.scope.posted.at(-1).error.code, 'internal', 'the one in use is another matter');

  const shy = await loadWith(t, hangs, 'auto', undefined, () => Promise.reject(new Error('blocklisted')));
  assert.deepEqual([shy.asked, shy.error], [[{ device: 'auto' }], undefined]);

  const broken = await loadWith(t, fails(failure('file')), 'auto');
  assert.deepEqual([broken.asked, broken.error.code], [[], 'file'], 'a broken file is so anywhere');
  const wanted = await loadWith(t, fails(failure('lost')), 'webgpu');
  assert.deepEqual([wanted.asked, wanted.error.code], [[], 'lost'], 'it was asked for');
  const wantedTrap = await loadWith(t, hangs, 'webgpu', panic);
  assert.deepEqual([wantedTrap.asked, wantedTrap.error.code, wantedTrap.posted], [[], 'lost', 1]);
});

test('an abort while the engine is made leaves none', async () => {
  const scope = new Scope();
  let made, freed = 0;
  const engine = { info: () => '{}', memory: () => '{}', free: () => freed++ };
  serve(scope, { wasm: { default: async () => {}, Engine: { load: () => new Promise((go) => (made = () => go(engine))) } } });
  scope.send({ id: id(0), ...load });
  await soon();
  scope.send({ id: id(0), cancel: true });
  made();
  await soon();
  assert.deepEqual([scope.posted.length, scope.posted[0].error.code, freed], [1, 'aborted', 1]);
});
