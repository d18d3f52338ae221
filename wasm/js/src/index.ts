// Small language models in the browser, with lossless speculative decoding.

import { cache } from './cache/index.js';
import { load } from './client/load.js';

/** Where everything begins. */
export const Eaglet = { load, cache } as const;

export type { CachedFile } from './cache/index.js';
export type { ChatCompletions } from './client/chat.js';
export type { Engine } from './client/engine.js';
export type { Stream } from './client/stream.js';
export type * from './types/chat.js';
export type * from './types/load.js';
export type * from './types/stats.js';
export {
  Aborted,
  ContextFull,
  DeviceLost,
  EagletError,
  IntegrityError,
  InvalidRequest,
  LimitTooSmall,
  NoWebGPU,
  QuotaExceeded,
} from './errors.js';
export type { ErrorCode } from './errors.js';
