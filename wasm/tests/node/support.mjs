// The module in Node, and the files that `web_fixtures` writes, read in ranges.

import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const built = `${root}wasm/dist/wasm/`;
const fixtures = `${root}target/web-fixtures/`;

if (!existsSync(`${built}eaglet_wasm.js`)) throw new Error('no module: run `cargo xtask web`');
if (!existsSync(`${fixtures}expected.json`)) {
  throw new Error('no fixtures: run `cargo run --release -p eaglet-tests --example web_fixtures`');
}

const module = await import(`${built}eaglet_wasm.js`);
await module.default({ module_or_path: readFileSync(`${built}eaglet_wasm_bg.wasm`) });

/** What must come out: models, and cases of plain decoding on a native processor. */
export const { models, cases } = JSON.parse(readFileSync(`${fixtures}expected.json`, 'utf8'));

/** A fixture as the module reads it; counts bytes read. */
export function source(name, count = {}) {
  const file = openSync(fixtures + name, 'r');
  const read = (offset, length) => {
    const bytes = new Uint8Array(length);
    const got = readSync(file, bytes, 0, length, offset);
    count.bytes = (count.bytes ?? 0) + got;
    count.largest = Math.max(count.largest ?? 0, got);
    return bytes.subarray(0, got);
  };
  open.push(file);
  return new module.Source(name.split('/').pop(), fstatSync(file).size, read);
}

const open = [];
process.on('exit', () => open.forEach((file) => closeSync(file)));

/** Loads a model of the fixtures, with the head of a method if one is named. */
export async function load(model, { head, progress, count, ...options } = {}) {
  const { files, heads } = models[model];
  const sources = (names) => names.map((name) => source(name, count));
  const headFiles = head ? sources(heads[head]) : [];
  return module.Engine.load(sources(files), headFiles, JSON.stringify(options), progress);
}

/** Begins an answer, which nobody cancels unless that is said. */
export function start(engine, request, cancelled = async () => false) {
  return engine.start(JSON.stringify(request), cancelled);
}

/** A whole answer: its steps put together. */
export async function answer(engine, request) {
  const generation = await start(engine, request);
  const whole = { text: '', tokens: [], finish: undefined, steps: 0 };
  for (let step; (step = await generation.next()) !== undefined; ) {
    const { text, tokens, finish } = JSON.parse(step);
    whole.text += text;
    whole.tokens.push(...tokens);
    whole.finish = finish;
    whole.steps += 1;
  }
  whole.usage = JSON.parse(generation.usage());
  whole.ids = whole.tokens.map(({ id }) => id);
  generation.free();
  return whole;
}

export { module };
