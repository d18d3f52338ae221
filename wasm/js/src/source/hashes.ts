import { InvalidRequest } from '../errors.js';
import { checkIntegrity } from '../fetch/hash.js';
import type { Wanted } from './wanted.js';

/** Hashes by file name; the name `*` stands for the only weights file. */
export type Hashes = Readonly<Record<string, string>>;

/** The hash that a file must have, if one was given. */
export function hashOf(name: string, hashes: Hashes): string | undefined {
  if (Object.hasOwn(hashes, name)) return hashes[name];
  return isWeights(name) ? hashes['*'] : undefined;
}

function isWeights(name: string): boolean {
  return /\.(gguf|safetensors)$/i.test(name);
}

/** Refuses hashes that would silently not be verified. */
export function checkNames(hashes: Hashes, names: readonly string[]): void {
  const all = names.join(', ');
  for (const name of Object.keys(hashes)) {
    if (name !== '*' && !names.includes(name)) {
      throw new InvalidRequest(`a hash is given for "${name}", which is none of ${all}`);
    }
  }
  if (Object.hasOwn(hashes, '*') && names.filter(isWeights).length !== 1) {
    throw new InvalidRequest(`one hash is given, and there is not one file of weights: give hashes by name, of ${all}`);
  }
}

/** Reads an option of hashes; names in a folder are looked at when its index is here. */
export function hashesOf(option: string, integrity: string | Hashes | undefined, wanted: readonly Wanted[]): Hashes {
  if (integrity === undefined) return {};
  const named = typeof integrity === 'object' && Object.keys(integrity ?? {}).length > 0;
  if (typeof integrity !== 'string' && !named) {
    throw new InvalidRequest(`${option} is a hash, or an object of hashes by the names of files`);
  }
  const hashes = typeof integrity === 'string' ? { '*': integrity } : integrity;
  for (const [name, hash] of Object.entries(hashes)) checkIntegrity(option, name === '*' ? 'the weights' : name, hash);
  const names = wanted.flatMap((one) => (one.kind === 'folder' ? [] : [one.name]));
  if (names.length > 0) checkNames(hashes, names);
  return hashes;
}
