import { Aborted, EagletError } from '../errors.js';
import { verify } from '../fetch/hash.js';
import { obtain, type Obtained, type Shared } from '../fetch/obtain.js';
import type { FileStats } from '../types/stats.js';
import { hashOf, type Hashes } from './hashes.js';

/** A file at hand. */
export interface Part {
  readonly name: string;
  readonly blob: Blob;
  readonly stats: FileStats;
}

/** What the browser holds needs neither ranges nor the cache. */
export async function local(url: string, name: string, hashes: Hashes, shared: Shared): Promise<Part[]> {
  const response = await fetch(url, { signal: shared.signal }).catch((error: unknown) => {
    if (shared.signal.aborted) throw new Aborted();
    throw new EagletError('file', `${url.slice(0, 64)} cannot be read (${String(error)}): was the address revoked?`);
  });
  return given(name, await response.blob(), hashes, shared);
}

/** A file that the page gave. */
export async function given(name: string, blob: Blob, hashes: Hashes, shared: Shared): Promise<Part[]> {
  const integrity = hashOf(name, hashes);
  if (integrity !== undefined) await verify(name, blob, integrity, shared.signal);
  const stats = { name, bytes: blob.size, from: 'page', stored: 'page', repaired: 0 } as const;
  return [{ name, blob, stats }];
}

/** A file of a server. */
export async function fetched(
  url: string,
  name: string,
  optional: boolean,
  hashes: Hashes,
  shared: Shared,
): Promise<Part[]> {
  // A file whose hash was given is one that must be there.
  const remote = { url, name, optional: optional && !Object.hasOwn(hashes, name), integrity: hashOf(name, hashes) };
  const { blob, stats }: Obtained = await obtain(remote, shared);
  return blob ? [{ name, blob, stats }] : [];
}
