// The processor's ids, and files that stay, in Firefox.
import { Eaglet } from '/index.js';
import { answer, cases, heads, model } from './firefox_ids.js';

export async function run(found) {
  const head = heads.eagle3;
  const engine = await Eaglet.load(model, { head, device: 'wasm', dtype: 'q4' });
  found.first = await engine.stats();
  found.answers = [];
  for (const { request, ids: expected } of await cases('q4')) {
    for (const method of ['plain', 'ngram', 'lookahead', 'eagle3']) {
      const { ids } = await answer(engine, { ...request, method });
      found.answers.push({ method, ids, expected });
    }
  }
  await engine.unload();
  const again = await Eaglet.load(model, { head, device: 'wasm' });
  found.second = await again.stats();
  await again.unload();

  const controller = new AbortController();
  const onProgress = ({ loaded }) => loaded > 9e6 && controller.abort();
  found.aborted = await Eaglet.load('/slow.gguf', { signal: controller.signal, onProgress }).catch(({ name }) => name);
  found.left = (await Eaglet.cache.list()).find(({ url }) => url.endsWith('/slow.gguf'));
  // The file is no model, so its load ends with an error, but it comes whole first.
  found.resumed = await Eaglet.load('/slow.gguf').catch(({ code }) => code);
  found.whole = await Eaglet.cache.has('/slow.gguf');
  found.deleted = await Eaglet.cache.delete('/slow.gguf');
}
