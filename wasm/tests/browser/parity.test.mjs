// In Chromium every method gives the ids that plain decoding gives on a native processor.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { lacking, open, start } from '../support/browser.mjs';
import { expected, folder, lackingFixtures } from '../support/fixtures.mjs';
import { lackingWasm } from '../support/scratch.mjs';

const skip = lacking() ?? lackingWasm() ?? lackingFixtures();
const { models, cases } = skip ? { models: {}, cases: [] } : expected();
const METHODS = {
  none: ['plain', 'ngram', 'lookahead', 'auto'],
  eagle1: ['eagle1', 'eagle2', 'auto'],
  eagle3: ['eagle3', 'auto'],
};
let browser, page;

before(async () => {
  if (skip) return;
  browser = await start({ seconds: 280 });
  browser.server.mount('/fixtures/', folder);
  page = await open(browser.context, browser.server, '/');
  await page.evaluate(() => {
    globalThis.answers = async (files, head, dtype, requests) => {
      const engine = await Eaglet.load(files, { device: 'wasm', head, ...(dtype ? { dtype } : {}) });
      const answers = [];
      for (const request of requests) {
        const ask = request.messages ? (it) => engine.chat.completions.create(it) : (it) => engine.complete(it);
        const answer = { text: '', ids: [] };
        for await (const chunk of await ask({ ...request, stream: true, stream_options: { include_usage: true } })) {
          const [choice] = chunk.choices;
          answer.text += choice?.delta?.content ?? choice?.text ?? '';
          answer.ids.push(...(chunk.extra?.tokens ?? []).map((token) => token.id));
          answer.finish = choice?.finish_reason ?? answer.finish;
          answer.usage = chunk.usage;
        }
        answers.push(answer);
      }
      const { memory } = await engine.stats();
      await engine.unload();
      return { answers, memory };
    };
  });
});
after(() => browser?.end());

const addresses = (names) => names.map((name) => browser.server.url(`/fixtures/${name}`));

for (const [model, { files, heads }] of Object.entries(models)) {
  const dtypes = [...new Set(cases.filter((one) => one.model === model).map((one) => one.dtype))];
  for (const head of ['none', ...Object.keys(heads)]) {
    for (const dtype of dtypes) {
      test(`${model} in ${dtype ?? 'its own dtype'}, head ${head}`, { skip }, async () => {
        // The real model takes seconds for each answer: one method that drafts is enough.
        const methods = model === 'default' ? [head === 'none' ? 'plain' : head] : METHODS[head];
        const wanted = cases.filter((one) => one.model === model && one.dtype === dtype);
        const runs = wanted.flatMap((one) => methods.map((method) => ({ one, method })));
        const requests = runs.map(({ one, method }) => ({ ...one.request, method }));
        const found = await page.evaluate((args) => answers(...args), [
          addresses(files), head === 'none' ? undefined : addresses(heads[head]), dtype, requests,
        ]);
        assert.ok(runs.length > 0);
        for (const [i, { one, method }] of runs.entries()) {
          const { ids, text, usage, finish } = found.answers[i];
          assert.deepEqual(ids, one.ids, `${method}, ${JSON.stringify(one.request)}`);
          assert.equal(text, one.text);
          assert.equal(finish, one.finish);
          assert.equal(usage.completion_tokens, ids.length);
          if (model === 'default') assert.ok(ids.length >= 16);
        }
      });
    }
  }
}

test('the real model is among them', { skip }, (t) => {
  if (process.env.CI) assert.ok(models.default);
  if (!models.default) t.skip('the default model is not here: run `cargo run --release -- pull`');
});
