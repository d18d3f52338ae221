// Every method on wasm SIMD gives the ids of plain decoding on a native processor.

import assert from 'node:assert/strict';
import test from 'node:test';

import { answer, cases, load, models } from './support.mjs';

/** Methods that a head is for; the others need none. */
const methods = {
  none: ['plain', 'ngram', 'lookahead', 'auto'],
  eagle1: ['eagle1', 'eagle2', 'auto'],
  eagle3: ['eagle3', 'auto'],
};

for (const model of Object.keys(models)) {
  const heads = ['none', ...Object.keys(models[model].heads)];
  const dtypes = [...new Set(cases.filter((c) => c.model === model).map((c) => c.dtype))];
  for (const head of heads) {
    for (const dtype of dtypes) {
      test(`${model} in ${dtype ?? 'its own dtype'}, head ${head}`, async () => {
        const engine = await load(model, {
          head: head === 'none' ? undefined : head,
          ...(dtype ? { dtype } : {}),
        });
        for (const expected of cases.filter((c) => c.model === model && c.dtype === dtype)) {
          for (const method of methods[head]) {
            const found = await answer(engine, { ...expected.request, method });
            assert.deepEqual(found.ids, expected.ids, method);
            assert.equal(found.text, expected.text, method);
            assert.equal(found.finish, expected.finish, method);
            assert.equal(found.usage.prompt_tokens, expected.prompt_ids.length);
          }
        }
        engine.free();
      });
    }
  }
}

test('the real model is among them', (t) => {
  if (!models.default) t.skip('the default model is not here: run `cargo run --release -- pull`');
  if (process.env.CI) assert.ok(models.default);
});
