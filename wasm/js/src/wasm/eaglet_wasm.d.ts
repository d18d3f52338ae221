// The wasm module, as wasm-bindgen makes it from wasm/src. Kept by hand, so that this
// package compiles without Rust; `tests/browser` would fail if the two parted.

export default function init(input?: {
  module_or_path: BufferSource | URL | Response | Promise<Response>;
}): Promise<unknown>;

/** One file of a model; `read` returns exactly `length` bytes, at once. */
export class Source {
  constructor(name: string, size: number, read: (offset: number, length: number) => Uint8Array);
}

export class Engine {
  private constructor();
  static load(
    model: Source[],
    head: Source[],
    options: string,
    progress?: (done: number, total: number) => void,
  ): Promise<Engine>;
  info(): string;
  tokenize(text: string): Uint32Array;
  detokenize(ids: Uint32Array): string;
  /** `cancelled` is asked while a long prompt is read. */
  start(request: string, cancelled: () => Promise<boolean>): Promise<Generation>;
  memory(): string;
  free(): void;
}

export class Generation {
  private constructor();
  next(): Promise<string | undefined>;
  usage(): string;
  free(): void;
}
