// What page and worker say to each other. A call is answered once, by a value or an
// error, and before that any number of events.

import type { WireError } from '../errors.js';
import type { Hashes } from '../source/hashes.js';
import type { Wanted } from '../source/wanted.js';
import type { CacheMode, Progress } from '../types/load.js';
import type { EngineStats, FileStats } from '../types/stats.js';

/** The options of `Engine.load` of the wasm module. */
export interface EngineOptions {
  readonly device: string;
  readonly dtype?: string;
  readonly context?: number;
  /** Why `auto` need not try the GPU: it has been tried. */
  readonly gpu_failed?: string;
}

/** A token and its probability. */
export interface Likely {
  /** What it stands for: a part of a character, it may be. */
  readonly bytes: readonly number[];
  /** `null` is minus infinity, for which JSON has no word. */
  readonly logprob: number | null;
}

/** A token as the wasm module tells it; with its probability where that was asked for. */
export interface WireToken extends Partial<Likely> {
  readonly id: number;
  /** The text that became certain with it. */
  readonly text: string;
  readonly drafted: boolean;
  readonly top?: readonly Likely[];
}

export type Finish = 'stop' | 'length' | 'context';

/** One round of a generation. */
export interface Round {
  readonly text: string;
  readonly tokens: readonly WireToken[];
  readonly finish?: Finish;
}

/** The figures of a generation. */
export interface WireUsage {
  readonly prompt_tokens: number;
  readonly reused_tokens: number;
  readonly completion_tokens: number;
  readonly prefill_seconds: number;
  readonly decode_seconds: number;
  readonly rounds: number;
  readonly drafted: number;
  readonly accepted: number;
  readonly tau: number;
  readonly accepted_by_depth: readonly number[];
  readonly tried_by_depth: readonly number[];
  readonly dispatches: number;
  readonly uploads: number;
  readonly submits: number;
  readonly readbacks: number;
  readonly draft_seconds: number;
  readonly verify_seconds: number;
}

/** Every call: what it takes, returns and tells on the way. */
export interface Calls {
  readonly load: {
    args: {
      readonly model: readonly Wanted[];
      readonly head: readonly Wanted[];
      readonly hashes: Hashes;
      readonly headHashes: Hashes;
      readonly mode: CacheMode;
      readonly options: EngineOptions;
    };
    value: { readonly stats: EngineStats; readonly files: readonly FileStats[] };
    event: Progress;
  };
  readonly generate: { args: string; value: WireUsage; event: Round };
  readonly tokenize: { args: string; value: Uint32Array; event: never };
  readonly detokenize: { args: Uint32Array; value: string; event: never };
  readonly stats: { args: null; value: EngineStats; event: never };
  readonly unload: { args: null; value: null; event: never };
}

export type Op = keyof Calls;

/** From the page. `cancel` stops the call of that id, which is then answered in its own way. */
export type ToWorker =
  | { readonly id: string; readonly op: Op; readonly args: Calls[Op]['args'] }
  | { readonly id: string; readonly cancel: true };

/** From the worker. */
export type FromWorker =
  | { readonly id: string; readonly value: Calls[Op]['value'] }
  | { readonly id: string; readonly error: WireError }
  | { readonly id: string; readonly event: Calls[Op]['event'] };

const MARK = 'eaglet/';

/** Ids for the calls of one line: a worker may have had others before. */
export function callIds(): () => string {
  const line = crypto.getRandomValues(new Uint32Array(2)).join('-');
  let calls = 0;
  return () => `${MARK}${line}/${calls++}`;
}

/** Whether it is one of these messages: the page's author may send others to a worker of theirs. */
export function isOurs(message: unknown): boolean {
  const { id } = (message ?? {}) as { id?: unknown };
  return typeof id === 'string' && id.startsWith(MARK);
}

/** A worker seen from the page, or the page seen from a worker. */
export interface Port {
  postMessage(message: unknown): void;
  addEventListener(type: 'message', listener: (event: MessageEvent) => void): void;
  addEventListener(type: 'error' | 'unhandledrejection', listener: (event: Event) => void): void;
}
