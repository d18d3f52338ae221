/** One file of a model: where it is, or the file itself. */
export type FileSource = string | URL | Blob;

/**
 * A model or a head:
 * - the URL of a `.gguf` file, or of an object (`blob:`) that holds one,
 * - the URL of a folder with `config.json`, `tokenizer.json` and safetensors,
 * - a `File` or `Blob` of a GGUF,
 * - a list of such files, which makes one model (a folder that a person picked, say).
 */
export type ModelSource = FileSource | ArrayLike<FileSource>;

/**
 * Where the model runs: `webgpu` on the GPU, or it is the error `NoWebGPU`; `wasm` on the
 * processor; `auto` where the model's first layers ran faster, which `stats()` tells. A GPU
 * that is played by the processor is never taken unless it is asked for.
 */
export type Device = 'auto' | 'webgpu' | 'wasm';

/** How weights lie in memory. Default: as in the file. */
export type Dtype = 'f32' | 'f16' | 'q8' | 'q4';

/**
 * What happens to downloaded files:
 * - `true`: kept; a kept file is used without asking the server. A full storage means
 *   that the file stays in memory, which `stats()` and `onProgress` say.
 * - `'require'`: kept, or `QuotaExceeded` is thrown.
 * - `'reload'`: fetched anew, then kept.
 * - `false`: neither read nor kept.
 */
export type CacheMode = boolean | 'require' | 'reload';

/** A step of loading. */
export interface Progress {
  /**
   * `fetch`: bytes from the cache or the network; `load`: weights packed for the device, after
   * the last of which a GPU takes seconds to prove itself.
   */
  readonly stage: 'fetch' | 'load';
  /** Bytes done. */
  readonly loaded: number;
  /** Bytes in all; 0 while a server has not said. */
  readonly total: number;
  /** Of `loaded`, the bytes that came from the cache. */
  readonly cached: number;
  /** Something that a person should know, such as a full storage. */
  readonly note?: string;
}

/** Options of `Eaglet.load`. */
export interface LoadOptions {
  /** Default `auto`. */
  readonly device?: Device;
  /** Default: as in the file. */
  readonly dtype?: Dtype;
  /** Tokens of context, prompt and answer together; default: the model's, at most 4096. */
  readonly context?: number;
  /** A trained draft head: EAGLE-1/2 or EAGLE-3, a GGUF or a safetensors folder. */
  readonly head?: ModelSource;
  /** Called often; must be cheap. */
  readonly onProgress?: (progress: Progress) => void;
  /** Stops the load; what was fetched stays in the cache. */
  readonly signal?: AbortSignal;
  /** Default `true`. */
  readonly cache?: CacheMode;
  /**
   * `sha256-…` in base64, as in subresource integrity, of the model's only weights file; or
   * of several files by their names, which must then be there.
   */
  readonly integrity?: string | Readonly<Record<string, string>>;
  /** The same for the files of the head. */
  readonly headIntegrity?: string | Readonly<Record<string, string>>;
  /**
   * Ask the browser not to evict the cache. Some browsers show a question for it, so the
   * default asks only where the answer is known to be yes.
   */
  readonly persist?: boolean;
  /** The worker to run in, which holds one engine at a time, or its URL; default: one is started. */
  readonly worker?: Worker | MessagePort | string | URL;
}
