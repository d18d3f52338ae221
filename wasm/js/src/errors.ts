/** What went wrong, as a word that programs can branch on. */
export type ErrorCode =
  | 'aborted'
  | 'capacity'
  | 'device'
  | 'file'
  | 'integrity'
  | 'internal'
  | 'invalid'
  | 'limit'
  | 'lost'
  | 'memory'
  | 'network'
  | 'no_webgpu'
  | 'quota'
  | 'unloaded'
  | 'unsupported';

/** Base of every error that this package throws; `message` names the cause and the way out. */
export class EagletError extends Error {
  override name = 'EagletError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** `device: 'webgpu'` was asked for, and this browser or worker offers none. */
export class NoWebGPU extends EagletError {
  override name = 'NoWebGPU';

  constructor(message: string) {
    super('no_webgpu', message);
  }
}

/** The device gives less of something, such as bytes in one piece, than is needed. */
export class LimitTooSmall extends EagletError {
  override name = 'LimitTooSmall';

  constructor(
    message: string,
    readonly needed: number,
    readonly actual: number,
  ) {
    super('limit', message);
  }
}

/** The browser took the GPU away; load the model again. */
export class DeviceLost extends EagletError {
  override name = 'DeviceLost';

  constructor(message: string) {
    super('lost', message);
  }
}

/** The browser's storage is full, and `cache: 'require'` forbids going on without it. */
export class QuotaExceeded extends EagletError {
  override name = 'QuotaExceeded';

  constructor(message: string) {
    super('quota', message);
  }
}

/** A file is not the one whose hash was given. */
export class IntegrityError extends EagletError {
  override name = 'IntegrityError';

  constructor(message: string) {
    super('integrity', message);
  }
}

/** The prompt does not fit into the context, both in tokens. */
export class ContextFull extends EagletError {
  override name = 'ContextFull';

  constructor(
    message: string,
    readonly needed: number,
    readonly capacity: number,
  ) {
    super('capacity', message);
  }
}

/**
 * A signal was aborted; `cause` is its reason, such as the `TimeoutError` of
 * `AbortSignal.timeout`. Its name is that of the platform's own abort errors.
 */
export class Aborted extends EagletError {
  override name = 'AbortError';

  constructor(message = 'The operation was aborted.', options?: ErrorOptions) {
    super('aborted', message, options);
  }

  static by({ reason }: AbortSignal): Aborted {
    const late = reason instanceof DOMException && reason.name === 'TimeoutError';
    return new Aborted(late ? 'The operation was aborted: its time is over.' : undefined, { cause: reason });
  }
}

/** A request that no model could answer: a wrong field, a wrong value. */
export class InvalidRequest extends EagletError {
  override name = 'InvalidRequest';

  constructor(message: string) {
    super('invalid', message);
  }
}

/** An error as it crosses from the worker to the page: structured clones lose classes. */
export interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly needed?: number;
  readonly actual?: number;
  readonly capacity?: number;
}

const CODES: ReadonlySet<string> = new Set<ErrorCode>([
  'aborted', 'capacity', 'device', 'file', 'integrity', 'internal', 'invalid', 'limit',
  'lost', 'memory', 'network', 'no_webgpu', 'quota', 'unloaded', 'unsupported',
]);

/** The wasm module that has panicked, if one has: it threw this in the middle of its work. */
export function panicked(thrown: unknown): 'wasm' | 'webgpu' | undefined {
  return typeof thrown === 'object' && thrown !== null ? (thrown as { panicked?: 'wasm' | 'webgpu' }).panicked : undefined;
}

/** Reads whatever was thrown: our errors, those of the wasm module, the platform's. */
export function toWire(thrown: unknown): WireError {
  const error = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as {
    name?: unknown;
    code?: unknown;
    message?: unknown;
    needed?: unknown;
    actual?: unknown;
    capacity?: unknown;
  };
  const words = typeof error.message === 'string' ? error.message : String(thrown);
  // A trap leaves the module in a state that nobody knows, as does a panic of it.
  const trapped = thrown instanceof WebAssembly.RuntimeError || (panicked(thrown) && error.code === 'internal');
  const message = trapped ? `the engine crashed (${words}): unload it and load it again, in a new worker if the worker is yours` : words;
  const wire = { code: codeOf(error.name, error.code), message };
  const numbers: { needed?: number; actual?: number; capacity?: number } = {};
  for (const key of ['needed', 'actual', 'capacity'] as const) {
    const value = error[key];
    if (typeof value === 'number' || typeof value === 'bigint') numbers[key] = Number(value);
  }
  return { ...wire, ...numbers };
}

function codeOf(name: unknown, code: unknown): ErrorCode {
  if (typeof code === 'string' && CODES.has(code)) return code as ErrorCode;
  if (name === 'AbortError') return 'aborted';
  if (name === 'QuotaExceededError') return 'quota';
  if (name === 'RangeError') return 'memory';
  return 'internal';
}

/** The error class that a `WireError` stands for. */
export function fromWire(wire: WireError): EagletError {
  switch (wire.code) {
    case 'aborted':
      return new Aborted(wire.message);
    case 'capacity':
      return new ContextFull(wire.message, wire.needed ?? 0, wire.capacity ?? 0);
    case 'integrity':
      return new IntegrityError(wire.message);
    case 'invalid':
      return new InvalidRequest(wire.message);
    case 'limit':
      return new LimitTooSmall(wire.message, wire.needed ?? 0, wire.actual ?? 0);
    case 'lost':
      return new DeviceLost(wire.message);
    case 'no_webgpu':
      return new NoWebGPU(wire.message);
    case 'quota':
      return new QuotaExceeded(wire.message);
    default:
      return new EagletError(wire.code, wire.message);
  }
}
