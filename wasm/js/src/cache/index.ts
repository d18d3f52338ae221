import { keyOf } from '../fetch/hash.js';
import { CacheStore } from './cache_api.js';
import { bytesOf, isWhole, type Manifest } from './manifest.js';
import { OpfsStore } from './opfs.js';
import type { Store } from './store.js';

/** A file in the cache. */
export interface CachedFile {
  readonly url: string;
  /** Bytes that are there. */
  readonly bytes: number;
  /** Bytes of the whole file; -1 if they are not known. */
  readonly size: number;
  /** Whether it can be used without the network. */
  readonly complete: boolean;
  readonly stored: Date;
}

/** The files that were downloaded, shared by all pages of this origin. */
export const cache = {
  /** All files, those of interrupted downloads too. */
  async list(): Promise<CachedFile[]> {
    const manifests = (await Promise.all((await stores()).map((store) => store.list()))).flat();
    return manifests.filter((manifest) => !manifest.absent).map(describe);
  },

  /** Whether the file, or all files of the folder that a load has begun, are there whole. */
  async has(url: string | URL): Promise<boolean> {
    const within = selector(url);
    const files = (await cache.list()).filter((file) => within(file.url));
    return files.length > 0 && files.every((file) => file.complete);
  },

  /** Removes the file, or all files of the folder. Whether there was something to remove. */
  async delete(url: string | URL): Promise<boolean> {
    const within = selector(url);
    let removed = false;
    for (const store of await stores()) {
      for (const manifest of await store.list()) {
        if (!within(manifest.url)) continue;
        removed = (await store.delete(await keyOf(manifest.url))) || removed;
      }
    }
    return removed;
  },
};

// Listing and removing need no worker, so a page can look at what workers wrote.
async function stores(): Promise<Store[]> {
  const found = await Promise.all([OpfsStore.find(false), CacheStore.find()]);
  return found.filter((store) => store !== undefined);
}

function selector(url: string | URL): (candidate: string) => boolean {
  const wanted = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href;
  const folder = wanted.endsWith('/') ? wanted : `${wanted}/`;
  return (candidate) => candidate === wanted || candidate.startsWith(folder);
}

function describe(manifest: Manifest): CachedFile {
  return {
    url: manifest.url,
    bytes: bytesOf(manifest),
    size: manifest.size,
    complete: isWhole(manifest),
    stored: new Date(manifest.stored),
  };
}
