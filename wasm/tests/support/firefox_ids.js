// What pages in Firefox ask an engine, and what comes out.

export const model = '/fixtures/tiny.gguf';
export const heads = Object.fromEntries(
  ['eagle1', 'eagle3'].map((kind) => [kind, ['config.json', 'model.safetensors'].map((name) => `/fixtures/${kind}/${name}`)]),
);

/** The requests of the small model in a dtype, with the ids that came out natively. */
export async function cases(dtype) {
  const { cases } = await (await fetch('/fixtures/expected.json')).json();
  return cases.filter((one) => one.model === 'tiny' && one.dtype === dtype);
}

/** The ids of an answer, and its usage. */
export async function answer(engine, asked) {
  const request = { ...asked, stream: true, stream_options: { include_usage: true } };
  const stream = request.messages ? engine.chat.completions.create(request) : engine.complete(request);
  const found = { ids: [] };
  for await (const chunk of await stream) {
    found.ids.push(...(chunk.extra?.tokens ?? []).map(({ id }) => id));
    found.usage = chunk.usage ?? found.usage;
  }
  return found;
}
