// A stand-in for the wasm module that keeps its contract without a model: a machine that
// answers with the words of the last message, in rounds of up to three "drafted" tokens.
// A word is a token; its id is its place in the order of first use.
//
// Words with a meaning: `ERROR code` makes `start` fail with that code, `SLOW` makes a
// round last 50 ms, `ENDLESS` never ends by itself, `LONG` makes a prompt of 100 parts of 10 ms.

const words = [];
const idOf = (word) => {
  const known = words.indexOf(word);
  return known >= 0 ? known : words.push(word) - 1;
};
const split = (text) => text.match(/\s*\S+|\s+$/g) ?? [];

export default async function init() {}

/** Engines that were made and not freed. */
export const alive = { engines: 0, generations: 0 };

export class Source {
  constructor(name, size, read) {
    Object.assign(this, { name, size, read });
  }
}

function fail(code, message, numbers = {}) {
  throw Object.assign(new Error(message), { code, ...numbers });
}

export class Engine {
  static async load(model, head, options, progress) {
    const files = [...model, ...head];
    const total = files.reduce((sum, file) => sum + file.size, 0);
    let done = 0;
    let sum = 0;
    for (const file of files) {
      if (file.name === 'broken.gguf') fail('file', 'broken.gguf: not a valid GGUF file');
      for (let at = 0; at < file.size; at += 1_000_003) {
        const length = Math.min(1_000_003, file.size - at);
        const bytes = file.read(at, length);
        if (bytes.length !== length) fail('file', `${file.name}: ${bytes.length} bytes instead of ${length}`);
        for (let i = 0; i < length; i += 997) sum = (sum * 31 + bytes[i]) % 1_000_000_007;
        done += length;
        progress?.(done, total);
      }
    }
    const engine = new Engine();
    engine.options = JSON.parse(options);
    if (engine.options.device === 'webgpu') fail('no_webgpu', 'the stand-in has no WebGPU');
    engine.bytes = total;
    engine.sum = sum;
    engine.context = engine.options.context ?? 4096;
    engine.head = head.length > 0;
    engine.cache = '';
    alive.engines++;
    return engine;
  }

  info() {
    return JSON.stringify({
      model: { architecture: 'fake', layers: 1, hidden: 1, vocab: 1, context: this.context, dtype: 'f32', bytes: this.bytes, sum: this.sum },
      ...(this.head ? { head: { method: 'eagle3', bytes: 1 } } : {}),
      device: { name: 'wasm', why: 'it is the only one', candidates: [{ name: 'wasm', ok: true, seconds_per_pass: 0.01 }] },
    });
  }

  memory() {
    return JSON.stringify({ wasm: 65536 * (1 + alive.engines), device: 0 });
  }

  tokenize(text) {
    return Uint32Array.from(split(text), idOf);
  }

  detokenize(ids) {
    return Array.from(ids, (id) => words[id]).join('');
  }

  async start(json, cancelled) {
    const request = JSON.parse(json);
    if (this.open) fail('invalid', 'a generation is open');
    const prompt = request.prompt ?? request.messages.map(({ role, content }) => `<${role}> ${content} `).join('');
    const said = request.prompt ?? request.messages.at(-1).content;
    const tokens = split(prompt).length;
    if (tokens > this.context) fail('capacity', `${tokens} tokens do not fit into ${this.context}`, { needed: tokens, capacity: this.context });
    const error = /ERROR (\w+)/.exec(said)?.[1];
    if (error) fail(error, `asked to fail with ${error}`, { needed: 2, actual: 1 });
    const generation = new Generation(this, request, prompt, said);
    for (let part = 0; said.includes('LONG') && part < 100; part++) {
      if (await cancelled()) {
        generation.finish = 'stop';
        break;
      }
      const end = Date.now() + 10;
      while (Date.now() < end);
    }
    return generation;
  }

  free() {
    alive.engines--;
  }
}

export class Generation {
  constructor(engine, request, prompt, said) {
    let reused = 0;
    while (reused < prompt.length && prompt[reused] === engine.cache[reused]) reused++;
    Object.assign(this, { engine, request, prompt, said, reused: split(prompt.slice(0, reused)).length });
    this.queue = split(said);
    this.made = [];
    this.rounds = 0;
    engine.open = this;
    alive.generations++;
  }

  async next() {
    if (this.finish) return undefined;
    if (this.said.includes('SLOW')) {
      const end = Date.now() + 50;
      while (Date.now() < end);
    }
    const { request } = this;
    const before = this.made.map((token) => token.text).join('');
    const tokens = [];
    for (let depth = 0; depth < (request.method === 'plain' ? 1 : 3); depth++) {
      if (this.queue.length === 0 && this.said.includes('ENDLESS')) this.queue = split(this.said);
      const text = this.queue.shift();
      if (text === undefined) this.finish = 'stop';
      else if (this.made.length + tokens.length >= (request.max_tokens ?? 1e9)) this.finish = 'length';
      if (this.finish) break;
      const token = { id: idOf(text), text, drafted: depth < 2 && request.method !== 'plain' };
      if (request.logprobs !== undefined) {
        const likely = (word, logprob) => ({ bytes: [...new TextEncoder().encode(word)], logprob });
        Object.assign(token, likely(text, -0.5));
        token.top = [likely(text, -0.5), likely('other', -1.5)].slice(0, request.logprobs);
      }
      tokens.push(token);
    }
    this.rounds++;
    this.made.push(...tokens);
    let text = tokens.map((token) => token.text).join('');
    for (const stop of request.stop ?? []) {
      const at = (before + text).indexOf(stop);
      if (at < 0) continue;
      text = (before + text).slice(before.length, at);
      this.finish = 'stop';
    }
    return JSON.stringify({ text, tokens, ...(this.finish ? { finish: this.finish } : {}) });
  }

  usage() {
    const made = this.made.length;
    return JSON.stringify({
      prompt_tokens: split(this.prompt).length,
      reused_tokens: this.reused,
      completion_tokens: made,
      prefill_seconds: 0.1,
      decode_seconds: 0.5,
      rounds: this.rounds,
      drafted: 2 * this.rounds,
      accepted: this.made.filter((token) => token.drafted).length,
      tau: made / Math.max(1, this.rounds),
      accepted_by_depth: [3, 1],
      tried_by_depth: [4, 2],
      dispatches: made * 10,
      uploads: this.rounds,
      readbacks: this.rounds,
      draft_seconds: 0.1,
      verify_seconds: 0.4,
    });
  }

  free() {
    this.engine.cache = `${this.prompt}<assistant> ${this.made.map((token) => token.text).join('')} `;
    this.engine.open = undefined;
    alive.generations--;
  }
}
