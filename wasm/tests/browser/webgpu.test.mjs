// WebGPU, in Chromium's software adapter: that it is right, and what it asks of a device.
// Its speed means nothing there and is not looked at.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { lacking, open, start } from '../support/browser.mjs';
import { expected, folder, lackingFixtures } from '../support/fixtures.mjs';
import { lackingWasm } from '../support/scratch.mjs';

let skip = lacking() ?? lackingWasm() ?? lackingFixtures();
const { cases } = skip ? { cases: [] } : expected();
/** Of the model of a million parameters. */
const DEEP_LAYERS = 31;
let browser, page;

before(async () => {
  if (skip) return;
  browser = await start({ seconds: 300 });
  browser.server.mount('/fixtures/', folder);
  page = await open(browser.context, browser.server, '/');
  if (!(await page.evaluate(async () => (await navigator.gpu?.requestAdapter()) ?? null).then(Boolean))) {
    skip = 'this Chromium offers no WebGPU adapter';
    console.log(`skipped: ${skip}`);
    return;
  }
  await page.evaluate(() => {
    globalThis.model = '/fixtures/tiny.gguf';
    globalThis.heads = Object.fromEntries(
      ['eagle1', 'eagle3'].map((kind) => [kind, ['config.json', 'model.safetensors'].map((name) => `/fixtures/${kind}/${name}`)]),
    );
    globalThis.failure = (promise) =>
      promise.then(() => ({ name: 'no error' }), ({ name, message, needed, actual }) => ({ name, message, needed, actual }));
    // A worker whose GPU is watched, and a way to ask it.
    let workers = 0;
    globalThis.watched = async () => {
      const name = `gpu${workers++}`;
      const channel = new BroadcastChannel(name);
      const answer = () => new Promise((told) => (channel.onmessage = ({ data }) => told(data.done)));
      const ready = answer();
      const worker = new Worker('/tests/support/gpu_worker.js', { type: 'module', name });
      await ready;
      const ask = (what) => {
        const answered = answer();
        channel.postMessage(what);
        return answered;
      };
      return { worker, ask };
    };
    // Kernels take seconds to compile here: one worker for all that changes nothing about it.
    globalThis.shared = watched();
    globalThis.loaded = async (options) => Eaglet.load(model, { device: 'webgpu', worker: (await shared).worker, ...options });
    globalThis.answers = async (engine, requests) => {
      const answers = [];
      for (const request of requests) {
        const ask = request.messages ? (it) => engine.chat.completions.create(it) : (it) => engine.complete(it);
        const answer = { text: '', ids: [], pieces: 0 };
        for await (const chunk of await ask({ ...request, stream: true, stream_options: { include_usage: true } })) {
          const [choice] = chunk.choices;
          answer.text += choice?.delta?.content ?? choice?.text ?? '';
          answer.ids.push(...(chunk.extra?.tokens ?? []).map((token) => token.id));
          answer.finish = choice?.finish_reason ?? answer.finish;
          answer.pieces += chunk.extra ? 1 : 0;
          answer.usage = chunk.usage;
        }
        answers.push(answer);
      }
      return answers;
    };
  });
});
after(() => browser?.end());

/** A test that needs the adapter: whether there is one is known after `before`. */
const gpuTest = (name, run) =>
  test(name, (t) => (skip ? t.skip(skip) : run(t)));

/** The requests of the small model in a dtype, with what came out natively. */
const wanted = (dtype) => cases.filter((one) => one.model === 'tiny' && one.dtype === dtype);

gpuTest('in f32 every method gives the ids of a native processor, and streams them', async () => {
  for (const [head, methods] of [['eagle3', ['plain', 'ngram', 'lookahead', 'auto', 'eagle3']], ['eagle1', ['eagle1', 'eagle2']]]) {
    const runs = wanted('f32').flatMap((one) => methods.map((method) => ({ one, method })));
    const { stats, found } = await page.evaluate(async ([head, requests]) => {
      const engine = await loaded({ dtype: 'f32', head: heads[head] });
      const found = await answers(engine, requests);
      const stats = await engine.stats();
      await engine.unload();
      return { stats, found };
    }, [head, runs.map(({ one, method }) => ({ ...one.request, method }))]);
    assert.equal(stats.device.name, 'webgpu');
    assert.match(stats.device.description, /in software/);
    assert.ok(stats.memory.device > stats.memory.weights, JSON.stringify(stats.memory));
    assert.ok(runs.length > 0);
    for (const [i, { one, method }] of runs.entries()) {
      const { ids, text, finish, pieces, usage } = found[i];
      assert.deepEqual(ids, one.ids, `${method}, ${JSON.stringify(one.request)}`);
      assert.equal(text, one.text);
      assert.equal(finish, one.finish);
      assert.equal(usage.completion_tokens, ids.length);
      if (method === 'plain') assert.equal(pieces, ids.length, 'a piece for each token');
    }
  }
});

gpuTest('a model of a million parameters gives the ids of a native processor with every method', async () => {
  const [greedy, drawn] = cases.filter((one) => one.model === 'deep' && one.dtype === 'f32');
  for (const [head, methods] of [['eagle3', ['plain', 'ngram', 'lookahead', 'auto', 'eagle3']], ['eagle1', ['eagle1', 'eagle2']]]) {
    const runs = methods.flatMap((method) => [greedy, drawn].map((one) => ({ one, method })));
    const found = await page.evaluate(async ([head, requests]) => {
      const { worker } = await shared;
      const engine = await Eaglet.load('/fixtures/deep.gguf', { device: 'webgpu', worker, dtype: 'f32', head: heads[head] });
      const found = await answers(engine, requests);
      await engine.unload();
      return found;
    }, [head, runs.map(({ one, method }) => ({ ...one.request, method, max_tokens: 16 }))]);
    for (const [i, { one, method }] of runs.entries()) {
      assert.deepEqual(found[i].ids, one.ids.slice(0, 16), `${method}, ${JSON.stringify(one.request)}`);
    }
  }
});

gpuTest('in 16, 8 and 4 bits speculation gives the ids of plain decoding on the same device', async () => {
  for (const dtype of ['f16', 'q8', 'q4']) {
    const requests = wanted(dtype).slice(0, 2).flatMap(({ request }) =>
      ['plain', 'eagle3'].map((method) => ({ ...request, max_tokens: 24, method })),
    );
    const found = await page.evaluate(async ([dtype, requests]) => {
      const engine = await loaded({ dtype, head: heads.eagle3 });
      const found = await answers(engine, requests);
      await engine.unload();
      return found;
    }, [dtype, requests]);
    for (let i = 0; i < found.length; i += 2) {
      assert.ok(found[i].ids.length > 8);
      assert.deepEqual(found[i + 1].ids, found[i].ids, dtype);
    }
  }
});

for (const [what, sampling, uploads] of [
  ['greedy', {}, 1],
  ['sampled', { temperature: 0.8, top_p: 0.9, seed: 7 }, 2],
]) {
  gpuTest(`a plain round that is ${what} is six dispatches a layer and three more, ${uploads} uploads, one readback, two submits`, async () => {
    const { answers, submits } = await page.evaluate(async (sampling) => {
      const { worker, ask: gpu } = await shared;
      const engine = await Eaglet.load('/fixtures/deep.gguf', { device: 'webgpu', worker });
      const messages = [{ role: 'user', content: 'Count.' }];
      const [answers, submits] = [[], []];
      // The first compiles the kernels, and comes often enough to be recorded.
      for (const max_tokens of [24, 4, 16]) {
        const before = (await gpu('counts')).submits;
        answers.push(await engine.chat.completions.create({ messages, method: 'plain', max_tokens, ...sampling }));
        submits.push((await gpu('counts')).submits - before);
      }
      await engine.unload();
      return { answers, submits };
    }, sampling);
    const [, { usage: few }, { usage }] = answers;
    const { rounds, dispatches_per_token, uploads_per_token, submits_per_token, readbacks_per_token } = usage.extra;
    const counted = (perToken) => Math.round(perToken * usage.completion_tokens);
    assert.ok(rounds > 8);
    assert.equal(counted(dispatches_per_token), rounds * (6 * DEEP_LAYERS + 3));
    assert.equal(counted(uploads_per_token), uploads * rounds);
    assert.equal(counted(readbacks_per_token), rounds);
    assert.equal(counted(submits_per_token), 2 * rounds);
    // All 189 dispatches in one, and the copy of their result; the prompts cost the same.
    assert.equal(submits[2] - submits[1], 2 * (rounds - few.extra.rounds), `${submits}`);
  });
}

gpuTest('a drafted round is one submit for the draft, one for the verdict, and one readback of both', async () => {
  const runs = await page.evaluate(async () => {
    const { worker, ask: gpu } = await shared;
    const engine = await Eaglet.load(model, { device: 'webgpu', worker, dtype: 'f32', head: heads.eagle3 });
    const messages = [{ role: 'user', content: 'Count.' }];
    const runs = [];
    for (let i = 0; i < 10; i++) {
      const before = (await gpu('counts')).submits;
      const { usage } = await engine.chat.completions.create({ messages, method: 'eagle3', max_tokens: 32 });
      runs.push({ ...usage.extra, tokens: usage.completion_tokens, submits: (await gpu('counts')).submits - before });
    }
    await engine.unload();
    return runs;
  });
  const drafted = runs.flatMap((run) => {
    const drafts = run.tried_by_depth[0] ?? 0;
    const readbacks = Math.round(run.readbacks_per_token * run.tokens);
    return drafts > 0 ? [{ ...run, drafts, readbacks, looked: readbacks - run.rounds }] : [];
  });
  // Some rounds are looked at after their draft, and read back once more.
  assert.ok(drafted.some(({ drafts, looked }) => looked < drafts), JSON.stringify(runs));
  assert.ok(drafted.every(({ drafts, rounds, looked }) => drafts <= rounds && looked <= rounds), JSON.stringify(runs));
  // What is submitted is read back, and the copy is another submit; so are a round's features,
  // which are taken aside once it is known which; and so is a draft that is not looked at. The
  // prompt reads back what it draws, and no round counts that. Some answers also record the
  // passes that have come often.
  const others = drafted.map(({ submits, readbacks, rounds, drafts, looked }) => submits - 2 * (readbacks + 1) - rounds - (drafts - looked));
  assert.equal(Math.min(...others), 0, JSON.stringify(runs));
});

gpuTest('loads in one worker share a device, which proves itself once, and memory does not grow', async () => {
  const { loads, submits, devices } = await page.evaluate(async () => {
    const { ask: gpu } = await shared;
    const [loads, submits] = [[], []];
    for (let i = 0; i < 5; i++) {
      const before = (await gpu('counts')).submits;
      const engine = await loaded({ dtype: 'q4', head: heads.eagle3 });
      submits.push((await gpu('counts')).submits - before);
      await answers(engine, [{ prompt: 'one two three', max_tokens: 4 }]);
      loads.push((await engine.stats()).memory);
      await engine.unload();
    }
    const { devices } = await gpu('counts');
    return { loads, submits, devices };
  });
  assert.equal(devices, 1);
  // A self-test is some 300, weights are 13.
  assert.ok(submits.slice(1).every((count) => count < 50), `${submits}`);
  for (const where of ['device', 'wasm']) {
    const bytes = loads.map((memory) => memory[where]);
    assert.ok(bytes.slice(2).every((now) => now <= bytes[1]), `${where}: ${bytes}`);
  }
});

gpuTest('a device that is lost is an error, and so is what is asked later', async () => {
  const [during, later] = await page.evaluate(async () => {
    const { worker, ask } = await watched();
    const engine = await Eaglet.load(model, { device: 'webgpu', worker });
    const messages = [{ role: 'user', content: 'Count.' }];
    const stream = await engine.chat.completions.create({ messages, method: 'plain', max_tokens: 200, stream: true });
    let seen = 0;
    const during = failure((async () => {
      for await (const _ of stream) if (++seen === 3) ask('lose');
    })());
    const later = failure(during.then(() => engine.complete({ prompt: 'one' })));
    const found = [await during, await later];
    worker.terminate();
    return found;
  });
  assert.equal(during.name, 'DeviceLost', JSON.stringify(during));
  assert.equal(later.name, 'DeviceLost', JSON.stringify(later));
});

gpuTest('a limit that is too small is told with both numbers', async () => {
  const error = await page.evaluate(async () => {
    const { worker, ask } = await watched();
    await ask('have few buffers');
    const error = await failure(Eaglet.load(model, { device: 'webgpu', worker }));
    worker.terminate();
    return error;
  });
  assert.deepEqual([error.name, error.needed, error.actual], ['LimitTooSmall', 10, 8], JSON.stringify(error));
});

gpuTest('auto takes no GPU that a processor plays, and times a real one against wasm', async () => {
  const [software, timed] = await page.evaluate(async () => {
    const found = [];
    for (const change of ['counts', 'pass for real']) {
      const { worker, ask } = await watched();
      await ask(change);
      const engine = await Eaglet.load(model, { worker });
      found.push((await engine.stats()).device);
      await engine.unload();
      worker.terminate();
    }
    return found;
  });
  assert.equal(software.name, 'wasm');
  assert.match(software.why, /no WebGPU on a real GPU/);
  assert.equal(timed.name, 'wasm', timed.why);
  assert.match(timed.why, /ms on the GPU and .* ms on the processor/);
  assert.ok(timed.candidates.every((one) => one.ok && one.seconds_per_pass >= 0), JSON.stringify(timed));
});
