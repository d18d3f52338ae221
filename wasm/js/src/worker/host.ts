import { Readers } from '../cache/locks.js';
import { Aborted, EagletError, panicked } from '../errors.js';
import { all, Lanes } from '../fetch/lanes.js';
import { linked } from '../fetch/linked.js';
import { Tally } from '../fetch/tally.js';
import { gather } from '../source/gather.js';
import type { Part } from '../source/part.js';
import type { Progress } from '../types/load.js';
import type { EngineStats } from '../types/stats.js';
import type * as Wasm from '../wasm/eaglet_wasm.js';
import { breathe, seldom } from './breathe.js';
import { canPickAgain, pick, pickAgain, reasonOf, type Modules, type Picked } from './pick.js';
import type { Calls, EngineOptions, Round, WireUsage } from './protocol.js';
import { reader } from './reader.js';
import { submits } from './submits.js';

/** Connections at a time: what browsers allow for one server. */
const CONNECTIONS = 6;

/** The engine and what is done with it. */
export class Host {
  private engine: Wasm.Engine | undefined;
  private giveUp: ((trap: unknown) => void) | undefined;
  /** Why the module with the GPU was left, if it has trapped. */
  private left: string | undefined;

  constructor(private readonly modules: Modules) {}

  async load(
    { model, head, hashes, headHashes, mode, options }: Calls['load']['args'],
    signal: AbortSignal,
    tell: (progress: Progress) => void,
  ): Promise<Calls['load']['value']> {
    const calmly = seldom(tell);
    const { signal: together, abort, unlink } = linked(signal);
    const readers = new Readers();
    const shared = { mode, signal: together, lanes: new Lanes(CONNECTIONS), tally: new Tally(calmly.tell), readers };
    // The module compiles while the weights come; if one fails, the others are in vain.
    const ready = pick(this.modules, options.device, this.left);
    const none = ready.then((): Part[] => []);
    const coming = [gather(model, hashes, shared), gather(head, headHashes, shared), none];
    try {
      const [weights = [], drafts = []] = await all(coming, abort).finally(unlink);
      calmly.flush();
      if (signal.aborted) throw new Aborted();
      await this.unload();
      this.engine = await this.start(await ready, options, [weights, drafts], (loaded, total) =>
        calmly.tell({ stage: 'load', loaded, total, cached: 0 }),
      );
      calmly.flush();
      if (signal.aborted) {
        await this.unload();
        throw new Aborted();
      }
      return { stats: await this.stats(), files: [...weights, ...drafts].map((part) => part.stats) };
    } finally {
      await readers.end();
    }
  }

  /** Makes the engine, without the GPU where that fails and another device will do. */
  private async start(
    picked: Picked,
    options: EngineOptions,
    files: readonly (readonly Part[])[],
    tell: (loaded: number, total: number) => void,
  ): Promise<Wasm.Engine> {
    const make = ({ module, gpuFailed }: Picked) => {
      const [model = [], head = []] = files.map((parts) => sources(module, parts));
      const how = gpuFailed === undefined ? options : { ...options, gpu_failed: gpuFailed };
      return module.Engine.load(model, head, JSON.stringify(how), tell);
    };
    const trap = new Promise<never>((_, reject) => {
      if (canPickAgain(this.modules, options.device, picked)) this.giveUp = reject;
    });
    try {
      return await Promise.race([make(picked), trap]);
    } catch (error) {
      this.giveUp = undefined;
      const trapped = panicked(error) !== undefined || error instanceof WebAssembly.RuntimeError;
      if (trapped && picked.module === this.modules.webgpu) this.left ??= reasonOf(error);
      return make(await pickAgain(this.modules, options.device, picked, error));
    } finally {
      this.giveUp = undefined;
    }
  }

  /** Takes a trap of the module that no promise of it tells, if there is a way on. */
  trapped(reason: unknown): boolean {
    this.giveUp?.(reason);
    if (this.giveUp) return true;
    // One that was left may have more to complain of.
    const named = panicked(reason) === 'webgpu' || (reason instanceof Error && /eaglet_webgpu/.test(reason.stack ?? ''));
    return this.left !== undefined && named;
  }

  /** Runs a request to its end; when `signal` is aborted, to the end of the round or of a part of the prompt. */
  async generate(request: string, signal: AbortSignal, tell: (round: Round) => void): Promise<WireUsage> {
    // All is computed without a pause; the word to stop needs one to come in.
    const cancelled = async () => {
      await breathe();
      return signal.aborted;
    };
    if (signal.aborted) throw new Aborted();
    const generation = await this.loaded().start(request, cancelled);
    const before = submits();
    try {
      for (;;) {
        if (await cancelled()) break;
        const round = await generation.next();
        if (round === undefined) break;
        tell(JSON.parse(round) as Round);
      }
      const usage = JSON.parse(generation.usage()) as Omit<WireUsage, 'submits'>;
      return { ...usage, submits: submits() - before };
    } finally {
      free(generation);
    }
  }

  async tokenize(text: string): Promise<Uint32Array> {
    return this.loaded().tokenize(text);
  }

  async detokenize(ids: Uint32Array): Promise<string> {
    return this.loaded().detokenize(ids);
  }

  async stats(): Promise<EngineStats> {
    const engine = this.loaded();
    const info = JSON.parse(engine.info()) as EngineStats;
    const now = JSON.parse(engine.memory()) as Partial<EngineStats['memory']>;
    return { ...info, memory: { ...info.memory, ...now } };
  }

  async unload(): Promise<null> {
    if (this.engine) free(this.engine);
    this.engine = undefined;
    return null;
  }

  private loaded(): Wasm.Engine {
    if (!this.engine) throw new EagletError('unloaded', 'no model is loaded');
    return this.engine;
  }
}

/** The files as the module reads them. A lone one of no kind can only be a GGUF. */
function sources(module: typeof Wasm, parts: readonly Part[]): Wasm.Source[] {
  return parts.map(({ name, blob }) => {
    const known = parts.length > 1 || /\.(gguf|safetensors|json)$/.test(name);
    return new module.Source(known ? name : `${name}.gguf`, blob.size, reader(blob));
  });
}

/** After a trap the module may refuse even this, and the trap is what has to be told. */
function free(object: Wasm.Engine | Wasm.Generation): void {
  try {
    object.free();
  } catch {
    // Its memory goes with the worker.
  }
}
