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

/** Loads the module that a device needs: the larger one only where there is a GPU to try. */
export async function pick(modules: Modules, device: string): Promise<typeof Wasm> {
  const module = (await hasGpu(device)) ? modules.webgpu : modules.wasm;
  await module.default();
  return module;
}

async function hasGpu(device: string): Promise<boolean> {
  const { gpu } = (globalThis.navigator ?? {}) as { readonly gpu?: Gpu };
  if (device === 'wasm' || !gpu) return false;
  const adapter = await gpu.requestAdapter();
  if (!adapter) return false;
  // One that the processor plays is taken by those who ask for it.
  return device === 'webgpu' || !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
}
