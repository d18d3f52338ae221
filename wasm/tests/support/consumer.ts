// Uses every public name, as a strict TypeScript project would.

import {
  Aborted,
  ContextFull,
  DeviceLost,
  Eaglet,
  EagletError,
  IntegrityError,
  InvalidRequest,
  LimitTooSmall,
  NoWebGPU,
  QuotaExceeded,
  type CachedFile,
  type ChatCompletion,
  type ChatCompletionChunk,
  type ChatCompletions,
  type Completion,
  type Engine,
  type ErrorCode,
  type LoadOptions,
  type Message,
  type ModelSource,
  type Progress,
  type Stats,
  type Stream,
  type Usage,
} from 'eaglet';

const options: LoadOptions = {
  device: 'auto',
  dtype: 'q4',
  context: 2048,
  head: new URL('https://example.org/eagle3.gguf'),
  onProgress: ({ stage, loaded, total, note }: Progress) => console.log(stage, loaded / total, note),
  signal: new AbortController().signal,
  cache: 'require',
  integrity: { 'model.gguf': 'sha256-' },
  persist: true,
};

export async function talk(source: ModelSource, input: HTMLInputElement): Promise<string> {
  const engine: Engine = await Eaglet.load(input.files ?? source, options);
  const messages: Message[] = [{ role: 'user', content: 'Hello' }];
  const completions: ChatCompletions = engine.chat.completions;
  const answer: ChatCompletion = await completions.create({ messages, temperature: 0.7, seed: 1, n: 1 });
  const stream: Stream<ChatCompletionChunk> = await completions.create({ messages, stream: true, stop: ['\n'] });
  let text: string = answer.choices[0].message.content;
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
  const usage: Usage = answer.usage;
  const tau: number = usage.extra.tau;
  const completion: Completion = await engine.complete({ prompt: text, method: 'eagle3', logprobs: 2 });
  const ids: Uint32Array = await engine.tokenize(completion.choices[0]?.text ?? '');
  const stats: Stats = await engine.stats();
  await engine.unload();
  const files: CachedFile[] = await Eaglet.cache.list();
  for (const file of files) if (await Eaglet.cache.has(file.url)) await Eaglet.cache.delete(file.url);
  return `${await engine.detokenize(ids)} ${tau} ${stats.device.why}`;
}

export function explain(error: unknown): ErrorCode | undefined {
  if (error instanceof LimitTooSmall) console.log(error.needed, error.actual);
  if (error instanceof ContextFull) console.log(error.needed, error.capacity);
  const others = [Aborted, DeviceLost, IntegrityError, InvalidRequest, NoWebGPU, QuotaExceeded];
  if (others.some((kind) => error instanceof kind)) console.log('known');
  return error instanceof EagletError ? error.code : undefined;
}

export async function wrong(engine: Engine): Promise<void> {
  // @ts-expect-error only one answer is generated
  await engine.chat.completions.create({ messages: [], n: 2 });
  // @ts-expect-error no such device
  await Eaglet.load('x', { device: 'cuda' });
  // @ts-expect-error a whole answer cannot be looped over
  for await (const _ of await engine.chat.completions.create({ messages: [] })) break;
}
