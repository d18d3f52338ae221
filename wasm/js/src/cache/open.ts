import { QuotaExceeded } from '../errors.js';
import type { CacheMode } from '../types/load.js';
import { CacheStore } from './cache_api.js';
import { MemoryEntry } from './memory.js';
import { OpfsStore } from './opfs.js';
import type { Entry } from './store.js';

/** An entry, and why it is not in a store where it should be. */
export interface Opened {
  readonly entry: Entry;
  readonly note: string | undefined;
}

/** Opens the file in the best store that this worker can write to, or else in memory. */
export async function openEntry(key: string, mode: CacheMode): Promise<Opened> {
  if (mode === false) return { entry: new MemoryEntry(), note: undefined };
  let why = 'there is no storage here (it needs https or localhost, and no private window)';
  const store = (await OpfsStore.find(true)) ?? (await CacheStore.find());
  try {
    if (store) return { entry: await store.open(key), note: undefined };
  } catch (error) {
    why = `it cannot be opened in the cache (${error instanceof Error ? error.message : String(error)})`;
  }
  if (mode === 'require') throw new QuotaExceeded(`the model cannot be kept: ${why}`);
  return { entry: new MemoryEntry(), note: `kept in memory only: ${why}` };
}

/** Says why `bytes` more do not fit; undefined if they do, or nobody knows. */
export async function lackOfRoom(bytes: number): Promise<string | undefined> {
  const estimate = await globalThis.navigator?.storage?.estimate?.().catch(() => undefined);
  if (estimate?.quota === undefined || estimate.usage === undefined) return undefined;
  const free = Math.max(0, estimate.quota - estimate.usage);
  if (bytes <= free) return undefined;
  return `${megabytes(bytes)} MB do not fit into the ${megabytes(free)} MB that the browser grants this site`;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
