import { EagletError, InvalidRequest } from '../errors.js';
import type { Completion, CompletionRequest } from '../types/chat.js';
import type { EngineStats, FileStats, Stats } from '../types/stats.js';
import { ChatCompletions } from './chat.js';
import { complete } from './complete.js';
import type { Connection } from './connection.js';
import { storageStats } from './storage.js';
import type { Stream } from './stream.js';

/** How long `unload` waits for a worker that is busy, in milliseconds. */
const PATIENCE = 2000;

/**
 * A model that is ready to answer. Requests are answered one after the other, in the
 * order in which they were made.
 */
export class Engine {
  /** The interface of OpenAI's client. */
  readonly chat: { readonly completions: ChatCompletions };

  /** @internal */
  constructor(
    private readonly connection: Connection,
    private readonly model: string,
    private readonly files: readonly FileStats[],
    /** What was true when the model was loaded; `stats()` asks again. */
    readonly info: EngineStats,
  ) {
    this.chat = { completions: new ChatCompletions(connection, model) };
  }

  /** Continues a text as it stands, without a chat template. */
  complete(request: CompletionRequest & { readonly stream: true }): Promise<Stream<Completion>>;
  complete(request: CompletionRequest & { readonly stream?: false | null }): Promise<Completion>;
  complete(request: CompletionRequest): Promise<Completion | Stream<Completion>>;
  complete(request: CompletionRequest): Promise<Completion | Stream<Completion>> {
    return complete(this.connection, this.model, request);
  }

  /** The ids of a text. None are added; special tokens in the text are read as such. */
  async tokenize(text: string): Promise<Uint32Array> {
    if (typeof text !== 'string') throw new InvalidRequest('tokenize takes a string');
    return this.connection.call('tokenize', text);
  }

  /** The text of ids. */
  async detokenize(ids: ArrayLike<number>): Promise<string> {
    const list = Array.from(ids ?? [NaN]);
    const sound = list.every((id) => Number.isInteger(id) && id >= 0 && id < 2 ** 32);
    if (!sound) throw new InvalidRequest('detokenize takes a list of token ids');
    return this.connection.call('detokenize', Uint32Array.from(list));
  }

  /** The model, the device and why it was taken, memory, files and storage. */
  async stats(): Promise<Stats> {
    const [engine, storage] = await Promise.all([this.connection.call('stats', null), storageStats()]);
    return { ...engine, files: this.files, ...(storage ? { storage } : {}) };
  }

  /** Frees the model and ends the worker. Calls that wait or come later fail. */
  async unload(): Promise<void> {
    const why = new EagletError('unloaded', 'the engine was unloaded');
    this.connection.stop(why);
    const freed = this.connection.call('unload', null).catch(() => null);
    await Promise.race([freed, new Promise((late) => setTimeout(late, PATIENCE))]);
    this.connection.close(why);
  }
}
