import { EagletError } from '../errors.js';
import { lengthOf, parse, type Manifest } from './manifest.js';
import type { Entry, Store } from './store.js';

/** A file opened for synchronous use, which only workers can do; not in TypeScript's DOM types. */
interface SyncHandle {
  read(into: Uint8Array, options: { at: number }): number;
  write(from: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

interface SyncFile extends FileSystemFileHandle {
  createSyncAccessHandle(): Promise<SyncHandle>;
}

const FOLDER = 'eaglet';
const DATA = 'data';
// Written in turn, so that one of them is sound when a write is torn.
const MANIFESTS = ['a.json', 'b.json'] as const;

/** Files in the origin's private file system: `eaglet/KEY/data` and its manifest. */
export class OpfsStore implements Store {
  private constructor(private readonly root: FileSystemDirectoryHandle) {}

  /** Undefined where the browser has none. `writing` needs a worker. */
  static async find(writing: boolean): Promise<OpfsStore | undefined> {
    const handles = globalThis.FileSystemFileHandle?.prototype as object | undefined;
    if (writing && (!handles || !('createSyncAccessHandle' in handles))) return undefined;
    try {
      const top = await navigator.storage.getDirectory();
      return new OpfsStore(await top.getDirectoryHandle(FOLDER, { create: true }));
    } catch {
      // Private windows and some settings forbid it.
      return undefined;
    }
  }

  async open(key: string): Promise<Entry> {
    const there = await this.root.getDirectoryHandle(key).catch(() => undefined);
    const latest = there && (await latestManifest(there));
    // What is never written leaves no folder.
    const folder = () => this.root.getDirectoryHandle(key, { create: true });
    return new OpfsEntry(latest, folder, () => this.delete(key));
  }

  async list(): Promise<Manifest[]> {
    const found: Manifest[] = [];
    for await (const folder of this.root.values()) {
      if (folder.kind !== 'directory') continue;
      const latest = await latestManifest(folder as FileSystemDirectoryHandle);
      if (latest) found.push(latest.manifest);
    }
    return found;
  }

  async delete(key: string): Promise<boolean> {
    try {
      await this.root.removeEntry(key, { recursive: true });
      return true;
    } catch (error) {
      const name = error instanceof DOMException ? error.name : '';
      if (name === 'NotFoundError') return false;
      if (name !== 'NoModificationAllowedError') throw error;
      throw new EagletError('file', 'the file is being written by a load: wait for it, or abort it');
    }
  }
}

interface Saved {
  readonly manifest: Manifest;
  /** Which of the two files holds it. */
  readonly slot: number;
}

async function latestManifest(folder: FileSystemDirectoryHandle): Promise<Saved | undefined> {
  let latest: Saved | undefined;
  for (const [slot, name] of MANIFESTS.entries()) {
    try {
      const file = await (await folder.getFileHandle(name)).getFile();
      const manifest = parse(await file.text());
      if (manifest && !(latest && latest.manifest.stored > manifest.stored)) {
        latest = { manifest, slot };
      }
    } catch {
      // There is none yet.
    }
  }
  return latest;
}

/** Waits for a file that is open elsewhere, in milliseconds: mostly one that is being closed. */
const WAITS = [50, 200, 800];

async function syncHandle(file: SyncFile): Promise<SyncHandle> {
  for (const wait of WAITS) {
    try {
      return await file.createSyncAccessHandle();
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== 'NoModificationAllowedError') throw error;
    }
    await new Promise((go) => setTimeout(go, wait));
  }
  return file.createSyncAccessHandle();
}

function diskFull(): DOMException {
  return new DOMException('the disk is full', 'QuotaExceededError');
}

/**
 * Opened for writing only when something is written: an open handle, or a mere change of
 * the file's date, would break the reading of other tabs.
 */
class OpfsEntry implements Entry {
  readonly kind = 'opfs';
  readonly manifest: Manifest | undefined;
  private slot: number;
  private stored: number;
  private handle: Promise<SyncHandle> | undefined;

  constructor(
    latest: Saved | undefined,
    private readonly folder: () => Promise<FileSystemDirectoryHandle>,
    private readonly remove: () => Promise<boolean>,
  ) {
    this.manifest = latest?.manifest;
    this.slot = latest?.slot ?? 1;
    this.stored = latest?.manifest.stored ?? 0;
  }

  async write(manifest: Manifest, index: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const handle = await this.opened();
    const written = handle.write(bytes, { at: index * manifest.chunk });
    if (written !== bytes.length) throw diskFull();
    handle.flush();
  }

  async read(manifest: Manifest, index: number): Promise<Uint8Array<ArrayBuffer>> {
    const at = index * manifest.chunk;
    const length = lengthOf(manifest, index);
    if (!this.handle) {
      const file = await (await this.file(DATA)).getFile();
      return new Uint8Array(await file.slice(at, at + length).arrayBuffer());
    }
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, (await this.handle).read(bytes, { at }));
  }

  async save(manifest: Manifest): Promise<void> {
    // Strictly later than the one before, whatever the clock does.
    this.stored = manifest.stored = Math.max(Date.now(), this.stored + 1);
    const slot = 1 - this.slot;
    const name = MANIFESTS[slot] ?? MANIFESTS[0];
    const handle = await syncHandle(await this.file(name));
    try {
      const bytes = new TextEncoder().encode(JSON.stringify(manifest));
      handle.truncate(0);
      if (handle.write(bytes, { at: 0 }) !== bytes.length) throw diskFull();
      handle.flush();
    } finally {
      handle.close();
    }
    // Only now: a torn copy is the next to be written over, and the sound one stays.
    this.slot = slot;
  }

  private async opened(): Promise<SyncHandle> {
    this.handle ??= this.file(DATA).then(syncHandle);
    try {
      return await this.handle;
    } catch (error) {
      this.handle = undefined;
      throw error;
    }
  }

  async blob(manifest: Manifest): Promise<Blob> {
    if (this.handle) (await this.handle).truncate(manifest.size);
    // A file whose handle is open cannot be read.
    await this.close();
    // It may be longer, if a longer one lay there before.
    return (await (await this.file(DATA)).getFile()).slice(0, manifest.size);
  }

  private async file(name: string): Promise<SyncFile> {
    return (await (await this.folder()).getFileHandle(name, { create: true })) as SyncFile;
  }

  async close(): Promise<void> {
    const handle = await this.handle?.catch(() => undefined);
    this.handle = undefined;
    handle?.close();
  }

  async drop(): Promise<void> {
    await this.close();
    await this.remove();
  }
}
