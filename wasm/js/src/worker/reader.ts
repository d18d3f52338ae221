import { EagletError } from '../errors.js';

/** Synchronous reads; only in workers, so not in TypeScript's DOM types. */
declare class FileReaderSync {
  readAsArrayBuffer(blob: Blob): ArrayBuffer;
}

/** Reads below this size are served from one read of this size. */
const WINDOW = 1 << 20;

/**
 * Ranges of a blob, at once, as the wasm module asks for them. What is asked for in small
 * pieces, such as the header of a GGUF, is read ahead: each read of a blob is a question
 * to another process.
 */
export function reader(blob: Blob): (offset: number, length: number) => Uint8Array {
  const files = new FileReaderSync();
  const read = (offset: number, length: number) => {
    try {
      return new Uint8Array(files.readAsArrayBuffer(blob.slice(offset, offset + length)));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new EagletError('file', `it cannot be read any more: was it changed or deleted? (${why})`);
    }
  };
  let start = 0;
  let window = new Uint8Array();
  return (offset, length) => {
    if (length >= WINDOW) return read(offset, length);
    if (offset < start || offset + length > start + window.length) {
      window = read(offset, WINDOW);
      start = offset;
    }
    return window.subarray(offset - start, offset - start + length);
  };
}
