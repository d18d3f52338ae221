import { EagletError, InvalidRequest } from '../errors.js';
import { checkIntegrity, verify } from '../fetch/hash.js';
import { all } from '../fetch/lanes.js';
import { linked } from '../fetch/linked.js';
import { obtain, type Obtained, type Shared } from '../fetch/obtain.js';
import type { FileStats } from '../types/stats.js';
import type { Wanted } from './wanted.js';

/** A file at hand. */
export interface Part {
  readonly name: string;
  readonly blob: Blob;
  readonly stats: FileStats;
}

/** Hashes by file name; the name `*` stands for the only weights file. */
export type Hashes = Readonly<Record<string, string>>;

/** Brings all files of a model or head, at the same time. */
export async function gather(wanted: readonly Wanted[], hashes: Hashes, shared: Shared): Promise<Part[]> {
  const { signal, abort, unlink } = linked(shared.signal);
  const parts = wanted.map((one) => bring(one, hashes, { ...shared, signal }));
  return (await all(parts, abort).finally(unlink)).flat();
}

const INDEX = 'model.safetensors.index.json';
/** What a folder may have beside its configuration and weights. A head's has no tokenizer. */
const OPTIONAL = ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json', 'chat_template.jinja'];

function bring(one: Wanted, hashes: Hashes, shared: Shared): Promise<Part[]> {
  switch (one.kind) {
    case 'folder':
      return bringFolder(one.url, hashes, shared);
    case 'url':
      return fetched(one.url, one.name, false, hashes, shared);
    case 'blob':
      return given(one.name, one.blob, hashes, shared);
  }
}

async function given(name: string, blob: Blob, hashes: Hashes, shared: Shared): Promise<Part[]> {
  const integrity = hashOf(name, hashes);
  if (integrity !== undefined) await verify(name, blob, integrity, shared.signal);
  const stats = { name, bytes: blob.size, from: 'page', stored: 'page', repaired: 0 } as const;
  return [{ name, blob, stats }];
}

async function fetched(
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

/** A Hugging Face folder. One file of weights has no index. */
async function bringFolder(base: string, hashes: Hashes, shared: Shared): Promise<Part[]> {
  const file = (name: string, optional: boolean) =>
    fetched(new URL(name, base).href, name, optional, hashes, shared);
  const small = Promise.all([file('config.json', false), ...OPTIONAL.map((name) => file(name, true))]);
  const weights = (async () => {
    const index = await file(INDEX, true);
    const shards = index[0] ? await shardsOf(index[0]) : ['model.safetensors'];
    checkNames(hashes, ['config.json', ...OPTIONAL, INDEX, ...shards]);
    return [index, ...(await Promise.all(shards.map((shard) => file(shard, false))))];
  })();
  return (await Promise.all([small, weights])).flat(2);
}

async function shardsOf(index: Part): Promise<string[]> {
  let map: unknown;
  try {
    map = (JSON.parse(await index.blob.text()) as { weight_map?: unknown }).weight_map;
  } catch {
    map = undefined;
  }
  const names = typeof map === 'object' && map !== null ? [...new Set(Object.values(map))] : [];
  const sound = names.every((name) => typeof name === 'string' && /^[\w.-]+\.safetensors$/.test(name));
  if (names.length === 0 || !sound) {
    throw new EagletError('file', `${index.name}: its weight_map does not name safetensors files`);
  }
  return names as string[];
}

function hashOf(name: string, hashes: Hashes): string | undefined {
  if (Object.hasOwn(hashes, name)) return hashes[name];
  return isWeights(name) ? hashes['*'] : undefined;
}

function isWeights(name: string): boolean {
  return /\.(gguf|safetensors)$/i.test(name);
}

/** Refuses hashes that would silently not be verified. */
function checkNames(hashes: Hashes, names: readonly string[]): void {
  const all = names.join(', ');
  for (const name of Object.keys(hashes)) {
    if (name !== '*' && !names.includes(name)) {
      throw new InvalidRequest(`integrity names "${name}", which is none of ${all}`);
    }
  }
  if (Object.hasOwn(hashes, '*') && names.filter(isWeights).length !== 1) {
    throw new InvalidRequest(`integrity is one hash, and there is not one file of weights: give hashes by name, of ${all}`);
  }
}

/** Reads the `integrity` option; names in a folder are looked at when its index is here. */
export function hashesOf(integrity: string | Hashes | undefined, wanted: readonly Wanted[]): Hashes {
  if (integrity === undefined) return {};
  const hashes = typeof integrity === 'string' ? { '*': integrity } : integrity;
  for (const [name, hash] of Object.entries(hashes)) checkIntegrity(name === '*' ? 'the weights' : name, hash);
  const names = wanted.flatMap((one) => (one.kind === 'folder' ? [] : [one.name]));
  if (names.length > 0) checkNames(hashes, names);
  return hashes;
}
