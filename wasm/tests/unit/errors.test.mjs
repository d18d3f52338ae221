import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as errors from '../../dist/errors.js';

test('errors cross to the page with their class, code and numbers', () => {
  const { fromWire, toWire } = errors;
  const cross = (error) => fromWire(structuredClone(toWire(error)));
  const expected = [
    [{ code: 'no_webgpu' }, errors.NoWebGPU, {}],
    [{ code: 'limit', needed: 5, actual: 3n }, errors.LimitTooSmall, { needed: 5, actual: 3 }],
    [{ code: 'lost' }, errors.DeviceLost, {}],
    [{ code: 'quota' }, errors.QuotaExceeded, {}],
    [{ code: 'integrity' }, errors.IntegrityError, {}],
    [{ code: 'capacity', needed: 9, capacity: 8 }, errors.ContextFull, { needed: 9, capacity: 8 }],
    [{ code: 'aborted' }, errors.Aborted, {}],
    [{ code: 'invalid' }, errors.InvalidRequest, {}],
    [{ code: 'memory' }, errors.EagletError, {}],
  ];
  for (const [fields, kind, numbers] of expected) {
    const error = cross(Object.assign(new Error('why'), fields));
    assert.ok(error instanceof kind && error instanceof errors.EagletError && error instanceof Error);
    assert.equal(error.code, fields.code);
    assert.equal(error.message, 'why');
    for (const [name, value] of Object.entries(numbers)) assert.equal(error[name], value);
  }
});

test('what the platform throws gets a code', () => {
  const code = (thrown) => errors.toWire(thrown).code;
  assert.equal(code(new DOMException('', 'AbortError')), 'aborted');
  assert.equal(code(new DOMException('', 'QuotaExceededError')), 'quota');
  assert.equal(code(new RangeError('out of memory')), 'memory');
  assert.equal(code(new WebAssembly.RuntimeError('unreachable')), 'internal');
  assert.match(errors.toWire(new WebAssembly.RuntimeError('unreachable')).message, /crashed \(unreachable\): unload/);
  assert.equal(errors.toWire('just words').message, 'just words');
  assert.equal(new errors.Aborted().name, 'AbortError');
});
