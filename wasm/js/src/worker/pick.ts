import { EagletError, toWire, type ErrorCode } from '../errors.js';
import type * as Wasm from '../wasm/eaglet_wasm.js';

/** The engine twice: for the processor, and for the GPU as well, which is larger. */
export interface Modules {
  readonly wasm: typeof Wasm;
  readonly webgpu: typeof Wasm;
}

/** What the DOM's types lack here and there. */
interface Adapter {
  readonly info?: { readonly isFallbackAdapter?: boolean };
  readonly isFallbackAdapter?: boolean;
}
interface Gpu {
  requestAdapter(): Promise<Adapter | null>;
}

/** A module that is ready, and what was wrong with the one with the GPU if that was tried. */
export interface Picked {
  readonly module: typeof Wasm;
  readonly gpuFailed?: string;
}

/** What may be the fault of the GPU, or of the larger module. */
const FAULTS: ReadonlySet<ErrorCode> = new Set(['device', 'internal', 'limit', 'lost', 'memory'] as const);

/**
 * Readies the module that a device needs: the larger one only where there is a GPU to try, and
 * `auto` not after it has trapped, for the reason `trapped`.
 */
export async function pick(modules: Modules, device: string, trapped: string | undefined): Promise<Picked> {
  if (trapped !== undefined && device === 'auto') return withoutGpu(modules, trapped);
  if (trapped !== undefined && device === 'webgpu') {
    throw new EagletError('internal', `WebGPU has crashed in this worker (${trapped}): load the model in a new one`);
  }
  const module = (await hasGpu(device)) ? modules.webgpu : modules.wasm;
  try {
    await module.default();
    return { module };
  } catch (error) {
    return pickAgain(modules, device, { module }, error);
  }
}

/** Whether another module is left to try. */
export function canPickAgain(modules: Modules, device: string, { module }: Picked): boolean {
  return device === 'auto' && module === modules.webgpu;
}

/** The module without the GPU in place of one that failed; throws `error` if that is no way out. */
export async function pickAgain(modules: Modules, device: string, failed: Picked, error: unknown): Promise<Picked> {
  if (!canPickAgain(modules, device, failed) || !FAULTS.has(toWire(error).code)) throw error;
  return withoutGpu(modules, reasonOf(error));
}

async function withoutGpu({ wasm }: Modules, gpuFailed: string): Promise<Picked> {
  await wasm.default();
  return { module: wasm, gpuFailed };
}

/** What an error says. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function hasGpu(device: string): Promise<boolean> {
  const { gpu } = (globalThis.navigator ?? {}) as { readonly gpu?: Gpu };
  if (device === 'wasm' || !gpu) return false;
  const adapter = await gpu.requestAdapter().catch(() => null);
  if (!adapter) return false;
  // One that the processor plays is taken by those who ask for it.
  return device === 'webgpu' || !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
}
