import { Aborted, Eaglet, type Device, type Dtype, type Engine, type LoadOptions, type ModelSource, type Progress } from 'eaglet';
import { enableChat } from './chat.js';
import { enableCompare } from './compare.js';
import { byId, element, find, megabytes, words } from './format.js';
import { showKept } from './kept.js';
import { offerMethods, state } from './state.js';

const form = byId<HTMLFormElement>('setup');
const notice = byId('notice');
let loading: AbortController | undefined;

const control = <E extends HTMLElement = HTMLInputElement>(name: string) => find<E>(form, `[name="${name}"]`);
const fromFiles = () => find<HTMLInputElement>(form, '[name=origin]:checked').value === 'files';

/** Fills the form from the address of the page: `?model=…&head=…&device=wasm`. */
export function prefill(): void {
  const given = new URLSearchParams(location.search);
  for (const name of ['model', 'head', 'device', 'dtype']) {
    const value = given.get(name);
    if (value === null || value === '') continue;
    const field = control<HTMLInputElement | HTMLSelectElement>(name);
    if (!(field instanceof HTMLSelectElement)) field.value = resolved(value);
    // A select would show nothing for a value that it does not offer.
    else if ([...field.options].some((option) => option.value === value)) field.value = value;
  }
}

/** What is no address stays as it is: the form says so. */
function resolved(address: string): string {
  try {
    return new URL(address, location.href).href;
  } catch {
    return address;
  }
}

form.addEventListener('change', (event) => {
  if ((event.target as HTMLInputElement).name !== 'origin') return;
  for (const fields of form.querySelectorAll<HTMLElement>('[data-origin]')) {
    fields.hidden = (fields.dataset.origin === 'files') !== fromFiles();
  }
  control('model').required = !fromFiles();
  control('model-files').required = fromFiles();
});

form.addEventListener('submit', (event) => {
  event.preventDefault();
  void load();
});
byId('cancel').addEventListener('click', () => loading?.abort());
byId('unload').addEventListener('click', () => void unload());

async function load(): Promise<void> {
  loading = new AbortController();
  tell('');
  show('loading');
  report({ stage: 'fetch', loaded: 0, total: 0, cached: 0 });
  try {
    const engine = await Eaglet.load(source('model') ?? '', options(loading.signal));
    state.engine = engine;
    await showFacts(engine);
    offerMethods(engine.info.head?.method);
    show('loaded');
    enableChat(true);
    enableCompare(true);
  } catch (error) {
    show('setup');
    if (error instanceof Aborted) tell('Cancelled. What was fetched is kept: loading goes on there.');
    else tell(words(error), true);
  }
  await showKept();
}

function options(signal: AbortSignal): LoadOptions {
  const head = source('head');
  const dtype = control<HTMLSelectElement>('dtype').value;
  return {
    device: control<HTMLSelectElement>('device').value as Device,
    signal,
    onProgress: report,
    ...(dtype === '' ? {} : { dtype: dtype as Dtype }),
    ...(head === undefined ? {} : { head }),
  };
}

function source(name: 'model' | 'head'): ModelSource | undefined {
  if (!fromFiles()) return control(name).value.trim() || undefined;
  const { files } = control(`${name}-files`);
  if (!files || files.length === 0) return undefined;
  return files.length === 1 && files[0] ? files[0] : files;
}

function report({ stage, loaded, total, cached, note }: Progress): void {
  const source = cached > 0 && cached >= loaded ? 'Reading from this browser' : 'Fetching';
  byId('stage').textContent = stage === 'load' ? 'Packing the weights' : source;
  const bar = byId<HTMLProgressElement>('progress');
  if (total > 0) bar.value = loaded / total;
  else bar.removeAttribute('value');
  byId('amount').textContent = total > 0 ? `${megabytes(loaded)} of ${megabytes(total)}` : '';
  if (note !== undefined) tell(note);
}

async function showFacts(engine: Engine): Promise<void> {
  const { model, head, device, memory, files } = await engine.stats();
  const facts: [string, string][] = [
    ['Model', `${files[0]?.name ?? ''}, ${model.architecture}`],
    ['Shape', `${model.layers} layers of ${model.hidden}, ${model.context} tokens of context`],
    ['Weights', `${model.dtype}, ${megabytes(model.bytes)}`],
    ...(head ? [['Head', `${head.method}, ${megabytes(head.bytes)}`] as [string, string]] : []),
    ['Device', `${device.name}: ${device.why}`],
    ['Memory', megabytes(memory.wasm + memory.device)],
  ];
  // On a phone they would push the conversation out of sight.
  byId<HTMLDetailsElement>('about').open = !matchMedia('(max-width: 860px)').matches;
  byId('facts').replaceChildren(...facts.flatMap(([name, value]) => [element('dt', '', name), element('dd', '', value)]));
}

async function unload(): Promise<void> {
  enableChat(false);
  enableCompare(false);
  const { engine } = state;
  state.engine = undefined;
  state.stop?.abort();
  await engine?.unload();
  show('setup');
}

function show(which: 'setup' | 'loading' | 'loaded'): void {
  for (const id of ['setup', 'loading', 'loaded']) byId(id).hidden = id !== which;
}

function tell(text: string, bad = false): void {
  notice.textContent = text;
  notice.classList.toggle('bad', bad);
}
