// The private file system's faults, with one in memory: files that are open elsewhere, a
// disk that takes half of what is written. The real one is in `browser/weights.test.mjs`.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';

import { fresh } from '../../dist/cache/manifest.js';
import { OpfsStore } from '../../dist/cache/opfs.js';

/** What goes wrong next: opens that are refused, bytes that a write takes at most. */
let faults;

class File {
  bytes = Buffer.alloc(0);

  async getFile() {
    return new Blob([this.bytes]);
  }

  async createSyncAccessHandle() {
    if (faults.busy > 0) {
      faults.busy--;
      throw new DOMException('open elsewhere', 'NoModificationAllowedError');
    }
    return {
      truncate: (size) => (this.bytes = Buffer.concat([this.bytes, Buffer.alloc(size)]).subarray(0, size)),
      write: (from, { at }) => {
        const some = from.subarray(0, Math.min(from.length, faults.room));
        const size = Math.max(this.bytes.length, at + some.length);
        this.bytes = Buffer.concat([this.bytes, Buffer.alloc(size - this.bytes.length)]);
        this.bytes.set(some, at);
        return some.length;
      },
      flush() {},
      close() {},
    };
  }
}

class Folder {
  kind = 'directory';
  entries = new Map();

  made(name, Kind, { create = false } = {}) {
    if (!this.entries.has(name) && !create) throw new DOMException(name, 'NotFoundError');
    if (!this.entries.has(name)) this.entries.set(name, new Kind());
    return this.entries.get(name);
  }

  getDirectoryHandle = async (name, options) => this.made(name, Folder, options);
  getFileHandle = async (name, options) => this.made(name, File, options);
}

const original = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
before(() => (globalThis.FileSystemFileHandle = File));
after(() => {
  delete globalThis.FileSystemFileHandle;
  Object.defineProperty(globalThis, 'navigator', original ?? { value: undefined, configurable: true });
});

let store;
beforeEach(async () => {
  faults = { busy: 0, room: Infinity };
  const root = new Folder();
  Object.defineProperty(globalThis, 'navigator', { value: { storage: { getDirectory: async () => root } }, configurable: true });
  store = await OpfsStore.find(true);
});

const bytes = new Uint8Array([1, 2, 3, 4, 5]);
const manifest = () => ({ ...fresh('http://x/a.gguf', bytes.length, '"1"'), hashes: ['h'] });

test('a file that is open elsewhere for a moment is waited for', async () => {
  const entry = await store.open('k');
  faults.busy = 2;
  await entry.write(manifest(), 0, bytes);
  assert.deepEqual(new Uint8Array(await (await entry.blob(manifest())).arrayBuffer()), bytes);
});

test('one that stays open is an error, and not for ever', async () => {
  const entry = await store.open('k');
  faults.busy = 4;
  await assert.rejects(entry.write(manifest(), 0, bytes), { name: 'NoModificationAllowedError' });
  await entry.write(manifest(), 0, bytes);
  assert.deepEqual(new Uint8Array(await (await entry.blob(manifest())).arrayBuffer()), bytes);
});

test('a manifest that is written in part is an error, and the one before stays', async () => {
  const entry = await store.open('k');
  await entry.save({ ...manifest(), validator: '"first"' });
  for (let i = 0; i < 2; i++) {
    faults.room = 20;
    await assert.rejects(entry.save({ ...manifest(), validator: '"torn"' }), { name: 'QuotaExceededError' });
    assert.equal((await store.open('k')).manifest.validator, '"first"');
  }
  faults.room = Infinity;
  await entry.save({ ...manifest(), validator: '"second"' });
  assert.equal((await store.open('k')).manifest.validator, '"second"');
});

test('a file that never came leaves no folder', async () => {
  const entry = await store.open('k');
  assert.equal(entry.manifest, undefined);
  await entry.close();
  const root = await (await navigator.storage.getDirectory()).getDirectoryHandle('eaglet');
  assert.equal(root.entries.size, 0);
});
