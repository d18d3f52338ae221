import type { ChatRequest, Engine, Message, Method } from 'eaglet';
import { byId, find } from './format.js';

/** What the parts of the page share. */
export const state: { engine: Engine | undefined; stop: AbortController | undefined } = {
  engine: undefined,
  stop: undefined,
};

const watchers: (() => void)[] = [];

/** Calls `watcher` whenever an answer begins or ends, in whichever view. */
export function onOccupied(watcher: () => void): void {
  watchers.push(watcher);
}

/** Takes the engine for an answer: it gives one at a time, and the views share it. */
export function occupy(stop: AbortController): void {
  state.stop = stop;
  tellOccupied();
}

/** Gives the engine back. */
export function release(stop: AbortController): void {
  if (state.stop === stop) state.stop = undefined;
  tellOccupied();
}

function tellOccupied(): void {
  for (const watcher of watchers) watcher();
}

const form = byId<HTMLFormElement>('options');
const methods = find<HTMLSelectElement>(form, '[name=method]');
const temperature = find<HTMLInputElement>(form, '[name=temperature]');
temperature.addEventListener('input', () => {
  find<HTMLOutputElement>(form, '[name=warmth]').value = temperature.value;
});

const NAMES: Record<Method, string> = {
  auto: 'the best there is',
  plain: 'nothing (plain)',
  ngram: 'repetition (n-grams)',
  lookahead: 'the model itself (lookahead)',
  eagle1: 'EAGLE-1 head',
  eagle2: 'EAGLE-2 head',
  eagle3: 'EAGLE-3 head',
};

/** Offers the methods that the engine can do. */
export function offerMethods(head: string | undefined): void {
  const heads: Method[] = head === undefined ? [] : head === 'eagle3' ? ['eagle3'] : ['eagle2', 'eagle1'];
  const all: Method[] = ['auto', ...heads, 'ngram', 'lookahead', 'plain'];
  methods.replaceChildren(...all.map((method) => new Option(NAMES[method], method)));
  methods.value = heads[0] ?? 'auto';
}

/** The method that is set. */
export function method(): Method {
  return methods.value as Method;
}

/** A request as the options say. */
export function request(messages: readonly Message[], signal: AbortSignal): ChatRequest & { readonly stream: true } {
  const number = (name: string) => Number(find<HTMLInputElement>(form, `[name=${name}]`).value);
  const seed = find<HTMLInputElement>(form, '[name=seed]').value;
  return {
    messages,
    signal,
    stream: true,
    stream_options: { include_usage: true },
    method: method(),
    temperature: number('temperature'),
    max_tokens: Math.max(1, number('tokens')),
    ...(seed === '' ? {} : { seed: Number(seed) }),
  };
}
