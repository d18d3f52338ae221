import { lengthOf, type Manifest } from './manifest.js';
import type { Entry } from './store.js';

/** A file that is gone when the page is left. */
export class MemoryEntry implements Entry {
  readonly kind = 'memory';
  readonly manifest = undefined;
  // Blobs and not arrays: browsers may move them to the disk.
  private readonly chunks = new Map<number, Blob>();

  async write(_: Manifest, index: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    this.chunks.set(index, new Blob([bytes]));
  }

  async read(manifest: Manifest, index: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await (this.chunks.get(index) ?? new Blob()).arrayBuffer();
    return new Uint8Array(bytes).subarray(0, lengthOf(manifest, index));
  }

  async save(): Promise<void> {}

  async blob(manifest: Manifest): Promise<Blob> {
    return new Blob(manifest.hashes.map((_, index) => this.chunks.get(index) ?? new Blob()));
  }

  async close(): Promise<void> {}

  async drop(): Promise<void> {
    this.chunks.clear();
  }
}
