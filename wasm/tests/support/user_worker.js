// A worker of a page's author, who uses the package from there.
import { Eaglet } from '/fake/index.js';

onmessage = async ({ data }) => {
  const engine = await Eaglet.load(data);
  const stream = await engine.chat.completions.create({ messages: [{ role: 'user', content: 'one two' }], stream: true });
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
  await engine.unload();
  postMessage({ text, cached: await Eaglet.cache.has(data) });
};
