// The stand-in has no GPU, whichever module is loaded.
export * from './eaglet_wasm.js';
export { default } from './eaglet_wasm.js';
