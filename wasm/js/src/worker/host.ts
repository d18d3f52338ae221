import { Aborted, EagletError } from '../errors.js';
import { all, Lanes } from '../fetch/lanes.js';
import { linked } from '../fetch/linked.js';
import { Tally } from '../fetch/tally.js';
import { gather, type Part } from '../source/gather.js';
import type { Progress } from '../types/load.js';
import type * as Wasm from '../wasm/eaglet_wasm.js';
import { breathe, seldom } from './breathe.js';
import { pick, type Modules } from './pick.js';
import type { Calls, EngineStats, Round, WireUsage } from './protocol.js';
import { reader } from './reader.js';
import { submits } from './submits.js';

/** Connections at a time: what browsers allow for one server. */
const CONNECTIONS = 6;

/** The engine and what is done with it; one call at a time. */
export class Host {
  private engine: Wasm.Engine | undefined;

  constructor(private readonly modules: Modules) {}

  async load(
    { model, head, hashes, mode, options }: Calls['load']['args'],
    signal: AbortSignal,
    tell: (progress: Progress) => void,
  ): Promise<Calls['load']['value']> {
    const calmly = seldom(tell);
    const { signal: together, abort, unlink } = linked(signal);
    const shared = { mode, signal: together, lanes: new Lanes(CONNECTIONS), tally: new Tally(calmly.tell) };
    // The module compiles while the weights come; if one fails, the others are in vain.
    const ready = pick(this.modules, options.device);
    const none = ready.then((): Part[] => []);
    const coming = [gather(model, hashes, shared), gather(head, {}, shared), none];
    const [weights = [], drafts = []] = await all(coming, abort).finally(unlink);
    calmly.flush();
    if (signal.aborted) throw new Aborted();
    this.unload();
    const wasm = await ready;
    const sources = (parts: readonly Part[]) => parts.map(({ name, blob }) => new wasm.Source(name, blob.size, reader(blob)));
    this.engine = await wasm.Engine.load(
      sources(weights),
      sources(drafts),
      JSON.stringify(options),
      (loaded, total) => calmly.tell({ stage: 'load', loaded, total, cached: 0 }),
    );
    calmly.flush();
    return { stats: await this.stats(), files: [...weights, ...drafts].map((part) => part.stats) };
  }

  /** Runs a request to its end; when `signal` is aborted, to the end of the round. */
  async generate(request: string, signal: AbortSignal, tell: (round: Round) => void): Promise<WireUsage> {
    if (signal.aborted) throw new Aborted();
    const generation = await this.loaded().start(request);
    const before = submits();
    try {
      for (;;) {
        // Rounds are computed without a pause; the word to stop needs one to come in.
        await breathe();
        if (signal.aborted) break;
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

/** After a trap the module may refuse even this, and the trap is what has to be told. */
function free(object: Wasm.Engine | Wasm.Generation): void {
  try {
    object.free();
  } catch {
    // Its memory goes with the worker.
  }
}
