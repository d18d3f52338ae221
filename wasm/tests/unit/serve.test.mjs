// The worker's side when the module traps where no promise of ours can see it.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { serve } from '../../dist/worker/serve.js';

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
const load = { op: 'load', args: { model: [], head: [], hashes: {}, mode: false, options: {} } };
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
    assert.deepEqual(scope.posted, []);
    scope.fault(type, { [field]: new WebAssembly.RuntimeError('unreachable') });
    scope.send({ id: id(2), op: 'unload', args: null });
    assert.deepEqual(scope.posted.map(({ id, error }) => [id, error.code]), [0, 1, 2].map((call) => [id(call), 'internal']));
    assert.match(scope.posted[0].error.message, /crashed \(unreachable\)/);
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
