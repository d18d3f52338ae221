// The module with the GPU: of the same interface.

export * from './eaglet_wasm.js';
export { default } from './eaglet_wasm.js';
