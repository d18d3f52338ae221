import { all } from '../fetch/lanes.js';
import { linked } from '../fetch/linked.js';
import type { Shared } from '../fetch/obtain.js';
import { isLocal } from './address.js';
import { bringFolder } from './folder.js';
import type { Hashes } from './hashes.js';
import { fetched, given, local, type Part } from './part.js';
import type { Wanted } from './wanted.js';

/** Brings all files of a model or head, at the same time. */
export async function gather(wanted: readonly Wanted[], hashes: Hashes, shared: Shared): Promise<Part[]> {
  const { signal, abort, unlink } = linked(shared.signal);
  const parts = wanted.map((one) => bring(one, hashes, { ...shared, signal }));
  return (await all(parts, abort).finally(unlink)).flat();
}

function bring(one: Wanted, hashes: Hashes, shared: Shared): Promise<Part[]> {
  switch (one.kind) {
    case 'folder':
      return bringFolder(one.url, hashes, shared);
    case 'url':
      if (isLocal(one.url)) return local(one.url, one.name, hashes, shared);
      return fetched(one.url, one.name, false, hashes, shared);
    case 'blob':
      return given(one.name, one.blob, hashes, shared);
  }
}
