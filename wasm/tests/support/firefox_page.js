// What is tried in Firefox; the test judges it.
import { Eaglet } from '/index.js';

const found = {};
try {
  const model = '/fixtures/tiny.gguf';
  const head = ['/fixtures/eagle3/config.json', '/fixtures/eagle3/model.safetensors'];
  const { cases } = await (await fetch('/fixtures/expected.json')).json();
  const engine = await Eaglet.load(model, { head, device: 'wasm', dtype: 'q4' });
  found.first = await engine.stats();
  found.answers = [];
  for (const expected of cases.filter((one) => one.model === 'tiny' && one.dtype === 'q4')) {
    for (const method of ['plain', 'ngram', 'lookahead', 'eagle3']) {
      const request = { ...expected.request, method, stream: true };
      const stream = request.messages ? engine.chat.completions.create(request) : engine.complete(request);
      const ids = [];
      for await (const chunk of await stream) ids.push(...(chunk.extra?.tokens ?? []).map(({ id }) => id));
      found.answers.push({ method, ids, expected: expected.ids });
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
} catch (error) {
  found.error = `${error?.name}: ${error?.message} ${error?.stack}`;
}
await fetch('/report', { method: 'POST', body: JSON.stringify(found) });
