import { InvalidRequest } from '../errors.js';
import type { FileSource, ModelSource } from '../types/load.js';
import { absolute, folderOf, isLocal, nameOf } from './address.js';

/** What a load asks for, in a form that reaches the worker. */
export type Wanted =
  | { readonly kind: 'folder'; readonly url: string }
  | { readonly kind: 'url'; readonly url: string; readonly name: string }
  | { readonly kind: 'blob'; readonly blob: Blob; readonly name: string };

/** A file without a name can only be a GGUF: a safetensors model takes several files. */
const NAMELESS = 'model.gguf';

const SOURCES = 'a source is an address, a File or Blob, or a list of those';

/** Reads a source; addresses are resolved here, since the worker has another base. */
export function wanted(source: ModelSource): Wanted[] {
  if (typeof source === 'string' || source instanceof URL) {
    const url = absolute(source);
    const name = nameOf(url);
    // As a blob without a name.
    if (isLocal(url)) return [{ kind: 'url', url, name: NAMELESS }];
    return /\.(gguf|safetensors)$/i.test(name)
      ? [{ kind: 'url', url, name }]
      : [{ kind: 'folder', url: folderOf(url) }];
  }
  if (source instanceof Blob) return [file(source)];
  // Any other value may come from JavaScript.
  if (typeof (source as ArrayLike<FileSource> | undefined)?.length !== 'number') throw new InvalidRequest(SOURCES);
  const files = Array.from(source, file);
  if (files.length === 0) throw new InvalidRequest('the list of files is empty');
  return files;
}

function file(source: FileSource): Wanted {
  if (source instanceof Blob) {
    const name = 'name' in source && typeof source.name === 'string' ? source.name : NAMELESS;
    return { kind: 'blob', blob: source, name };
  }
  if (typeof source !== 'string' && !(source instanceof URL)) {
    throw new InvalidRequest(SOURCES);
  }
  const url = absolute(source);
  return { kind: 'url', url, name: nameOf(url) };
}
