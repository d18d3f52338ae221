import { EagletError } from '../errors.js';
import { keyOf } from '../fetch/hash.js';
import { absolute, folderOf } from '../source/address.js';
import { CacheStore } from './cache_api.js';
import { ifIdle } from './locks.js';
import { bytesOf, isWhole, within, type Manifest } from './manifest.js';
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
    return (await manifests()).filter(isFile).map(describe);
  },

  /** Whether the file, or all that the model or head in the folder needs, is there whole. */
  async has(url: string | URL): Promise<boolean> {
    const wanted = absolute(url);
    const known = await manifests();
    const whole = (address: string) => known.some((one) => one.url === address && isFile(one) && isWhole(one));
    const base = folderOf(wanted);
    const parts = known.find((one) => one.url === base)?.parts;
    return whole(wanted) || (parts?.every((name) => whole(within(base, name))) ?? false);
  },

  /** Removes the file, or all files of the folder. Whether there was something to remove. */
  async delete(url: string | URL): Promise<boolean> {
    const wanted = absolute(url);
    const mine = (candidate: string) => candidate === wanted || isWithin(candidate, folderOf(wanted));
    const found: (readonly [Store, string, string])[] = [];
    for (const store of await stores()) {
      const here = (await store.list()).filter((one) => mine(one.url));
      for (const { url } of here) found.push([store, url, await keyOf(url)]);
    }
    // All or nothing: the half of a model is of no use.
    for (const [, url, key] of found) await ifIdle(key, async () => true, () => inUse(url));
    let removed = false;
    for (const [store, url, key] of found) {
      removed = (await ifIdle(key, () => store.delete(key), () => inUse(url))) || removed;
    }
    return removed;
  },
};

async function manifests(): Promise<Manifest[]> {
  return (await Promise.all((await stores()).map((store) => store.list()))).flat();
}

// Listing and removing need no worker, so a page can look at what workers wrote.
async function stores(): Promise<Store[]> {
  const found = await Promise.all([OpfsStore.find(false), CacheStore.find()]);
  return found.filter((store) => store !== undefined);
}

function isFile(manifest: Manifest): boolean {
  return !manifest.absent && !manifest.parts;
}

/** A folder with a query is another one than without; without one, its files may have any. */
function isWithin(candidate: string, folder: string): boolean {
  const [file, base] = [new URL(candidate), new URL(folder)];
  return (base.search === '' || file.search === base.search) && file.origin === base.origin && file.pathname.startsWith(base.pathname);
}

function inUse(url: string): never {
  throw new EagletError('file', `${url} is in use by a load: wait for it, or abort it`);
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
