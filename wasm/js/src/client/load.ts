import { Aborted, InvalidRequest } from '../errors.js';
import { hashesOf } from '../source/hashes.js';
import { wanted } from '../source/wanted.js';
import type { LoadOptions, ModelSource } from '../types/load.js';
import type { EngineOptions } from '../worker/protocol.js';
import { Engine } from './engine.js';
import { connect } from './start_worker.js';
import { persist } from './storage.js';

const OPTIONS = new Set([
  'device', 'dtype', 'context', 'head', 'onProgress', 'signal', 'cache', 'integrity', 'headIntegrity', 'persist', 'worker',
]);
const DEVICES = ['auto', 'webgpu', 'wasm'];
const DTYPES = ['f32', 'f16', 'q8', 'q4'];
const CACHES = [true, false, 'require', 'reload'];

/** Loads a model, and a head if one is given, in a worker. */
export async function load(source: ModelSource, options: LoadOptions = {}): Promise<Engine> {
  const { head, onProgress, signal, worker } = options;
  const engineOptions = check(options);
  if (signal?.aborted) throw Aborted.by(signal);
  const model = wanted(source);
  const draft = head === undefined ? [] : wanted(head);
  if (draft.length === 0 && options.headIntegrity !== undefined) {
    throw new InvalidRequest('headIntegrity needs a head');
  }
  const args = {
    model,
    head: draft,
    hashes: hashesOf('integrity', options.integrity, model),
    headHashes: hashesOf('headIntegrity', options.headIntegrity, draft),
    mode: options.cache ?? true,
    options: engineOptions,
  };
  const connection = connect(worker);
  try {
    const watch = { signal, ...(onProgress ? { onEvent: onProgress } : {}) };
    const { stats, files } = await connection.call('load', args, watch);
    if (files.some((file) => file.stored === 'opfs' || file.stored === 'cache')) {
      // Not waited for: a browser may ask the person.
      void persist(options.persist ?? false);
    }
    return new Engine(connection, nameOf(files[0]?.name, args.model[0]), files, stats);
  } catch (error) {
    // Ends a worker of ours, wherever it is: what it has stored is sound at every moment.
    connection.close(error instanceof Aborted ? error : new Aborted('the load failed'));
    throw error;
  }
}

function check(options: LoadOptions): EngineOptions {
  const unknown = Object.keys(options).find((name) => !OPTIONS.has(name));
  if (unknown !== undefined) {
    throw new InvalidRequest(`there is no option "${unknown}"; there are ${[...OPTIONS].join(', ')}`);
  }
  const { device = 'auto', dtype, context } = options;
  oneOf('device', device, DEVICES);
  oneOf('cache', options.cache ?? true, CACHES);
  if (dtype !== undefined) oneOf('dtype', dtype, DTYPES);
  if (context !== undefined && !(Number.isInteger(context) && context > 0)) {
    throw new InvalidRequest(`context must be a number of tokens, not ${String(context)}`);
  }
  return { device, ...(dtype ? { dtype } : {}), ...(context ? { context } : {}) };
}

function oneOf(name: string, value: unknown, allowed: readonly unknown[]): void {
  if (!allowed.includes(value)) {
    throw new InvalidRequest(`${name} must be one of ${allowed.join(', ')}, not ${String(value)}`);
  }
}

/** What answers call the model: its file, or its folder. */
function nameOf(file: string | undefined, first: ReturnType<typeof wanted>[number] | undefined): string {
  if (first?.kind === 'folder') {
    const parts = new URL(first.url).pathname.split('/').filter((part) => part !== '');
    return parts.at(-1) ?? 'model';
  }
  return (file ?? 'model').replace(/\.(gguf|safetensors)$/i, '');
}
