// WebGPU in Firefox: every dtype and method. In one worker of the page, since kernels take long
// to compile where a processor plays the GPU.
import { Eaglet } from '/index.js';
import { answer, cases, heads, model } from './firefox_ids.js';

export async function run(found) {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) {
    found.lacking = `this Firefox offers no WebGPU adapter${navigator.gpu ? '' : ': there is no navigator.gpu'}`;
    return;
  }
  found.features = [...adapter.features];
  const worker = new Worker('/worker/entry.js', { type: 'module' });
  found.runs = [];
  for (const [dtype, head, methods] of [
    ['f32', 'eagle3', ['plain', 'ngram', 'lookahead', 'auto', 'eagle3']],
    ['f32', 'eagle1', ['eagle1', 'eagle2']],
    ['f16', 'eagle3', ['plain', 'ngram', 'eagle3']],
    ['q8', 'eagle3', ['plain', 'eagle3']],
    ['q4', 'eagle3', ['plain', 'eagle3']],
  ]) {
    const engine = await Eaglet.load(model, { device: 'webgpu', worker, dtype, head: heads[head] });
    const run = { dtype, device: (await engine.stats()).device, answers: [] };
    for (const { request, ids: native } of await cases(dtype)) {
      for (const method of methods) {
        const { ids, usage } = await answer(engine, { ...request, method });
        const { rounds, decode_s, readbacks_per_token } = usage.extra;
        const readbacks = Math.round(readbacks_per_token * usage.completion_tokens);
        run.answers.push({ method, ids, native, rounds, decode_s, readbacks });
      }
    }
    await engine.unload();
    found.runs.push(run);
  }
  worker.terminate();
}
