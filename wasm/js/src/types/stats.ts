/** The model that was loaded. */
export interface ModelInfo {
  readonly architecture: string;
  readonly layers: number;
  readonly hidden: number;
  readonly vocab: number;
  /** Tokens of context. */
  readonly context: number;
  readonly dtype: string;
  /** Bytes of its packed weights. */
  readonly bytes: number;
}

/** One device that was looked at. */
export interface DeviceCandidate {
  readonly name: string;
  readonly ok: boolean;
  /** Measured on the device that was taken, else told from the model's first layers. */
  readonly seconds_per_pass?: number;
  /** Why it was not taken. */
  readonly reason?: string;
}

/** How a file came and where it lies. */
export interface FileStats {
  readonly name: string;
  readonly bytes: number;
  readonly from: 'cache' | 'network' | 'both' | 'page';
  /** `memory`: gone when the page is left. `page`: the page gave the file. */
  readonly stored: 'opfs' | 'cache' | 'memory' | 'page';
  /** Chunks in the cache that were damaged and fetched again. */
  readonly repaired: number;
  /** Why it is not stored, where it should have been. */
  readonly note?: string;
}

/** What is known about an engine. */
export interface Stats {
  readonly model: ModelInfo;
  readonly head?: { readonly method: string; readonly bytes: number };
  readonly device: {
    /** `webgpu` or `wasm`. */
    readonly name: string;
    /** The adapter or the instructions in use. */
    readonly description?: string;
    /** Why this one. */
    readonly why: string;
    readonly candidates: readonly DeviceCandidate[];
  };
  /** In bytes. */
  readonly memory: {
    /** Packed weights that a pass reads. */
    readonly weights: number;
    /** Keys and values, for the whole context. */
    readonly cache: number;
    /** All of wasm memory, now. */
    readonly wasm: number;
    /** On the GPU, now. */
    readonly device: number;
  };
  readonly files: readonly FileStats[];
  /** The storage of this origin, in bytes, where the browser tells. */
  readonly storage?: { readonly usage: number; readonly quota: number; readonly persisted: boolean };
}

/** What was known of an engine when it was loaded: `engine.info`. */
export type EngineStats = Omit<Stats, 'files' | 'storage'>;
