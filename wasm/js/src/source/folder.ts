import { exclusively } from '../cache/locks.js';
import { folder, within } from '../cache/manifest.js';
import { openEntry } from '../cache/open.js';
import { EagletError } from '../errors.js';
import { keyOf } from '../fetch/hash.js';
import type { Shared } from '../fetch/obtain.js';
import { checkNames, type Hashes } from './hashes.js';
import { fetched, type Part } from './part.js';

const INDEX = 'model.safetensors.index.json';
/** What a folder may have beside its configuration and weights. A head's has no tokenizer. */
const OPTIONAL = ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json', 'chat_template.jinja'];

/** Brings a Hugging Face folder. One file of weights has no index. */
export async function bringFolder(base: string, hashes: Hashes, shared: Shared): Promise<Part[]> {
  const file = (name: string, optional: boolean) =>
    fetched(within(base, name), name, optional, hashes, shared);
  const small = Promise.all([file('config.json', false), ...OPTIONAL.map((name) => file(name, true))]);
  const weights = (async () => {
    const index = await file(INDEX, true);
    const shards = index[0] ? await shardsOf(index[0]) : ['model.safetensors'];
    checkNames(hashes, ['config.json', ...OPTIONAL, INDEX, ...shards]);
    return [index, ...(await Promise.all(shards.map((shard) => file(shard, false))))];
  })();
  const parts = (await Promise.all([small, weights])).flat(2);
  await remember(base, parts, shared);
  return parts;
}

/** Notes in the cache what the folder needs, so that it can be told whether all of it is there. */
async function remember(base: string, parts: readonly Part[], { mode, signal }: Shared): Promise<void> {
  if (parts.some(({ stats }) => stats.stored === 'memory')) return;
  const key = await keyOf(base);
  const needed = folder(base, parts.map(({ name }) => name));
  await exclusively(key, signal, () => undefined, async () => {
    const { entry } = await openEntry(key, mode);
    try {
      if (String(entry.manifest?.parts) !== String(needed.parts)) await entry.save(needed);
    } catch {
      // The files are there, and will be found; only nobody can tell beforehand.
    } finally {
      await entry.close();
    }
  });
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
