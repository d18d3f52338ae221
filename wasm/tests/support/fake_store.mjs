// A store in memory that keeps what is stored between loads, and can be full.

import { parse } from '../../dist/cache/manifest.js';

export class FakeEntry {
  kind = 'opfs';
  chunks = new Map();
  text = undefined;
  room = Infinity;
  dropped = false;

  get manifest() {
    return this.text === undefined ? undefined : parse(this.text);
  }

  async write(_, index, bytes) {
    const used = [...this.chunks.values()].reduce((sum, chunk) => sum + chunk.length, 0);
    if (used + bytes.length > this.room) throw new DOMException('full', 'QuotaExceededError');
    this.chunks.set(index, bytes.slice());
  }

  async read(_, index) {
    return this.chunks.get(index) ?? new Uint8Array();
  }

  async save(manifest) {
    this.text = JSON.stringify(manifest);
  }

  async blob(manifest) {
    return new Blob(manifest.hashes.map((_, index) => this.chunks.get(index)));
  }

  async close() {}

  async drop() {
    this.chunks.clear();
    this.text = undefined;
    this.dropped = true;
  }
}
