import { EagletError, QuotaExceeded } from '../errors.js';
import { sha256 } from '../fetch/hash.js';
import { MemoryEntry } from './memory.js';
import { isWhole, type Manifest } from './manifest.js';
import type { Entry } from './store.js';

/** Errors of the platform after which a load can go on in memory. */
const REASONS: Readonly<Record<string, string>> = {
  QuotaExceededError: "the browser's storage is full",
  NoModificationAllowedError: 'another tab is using the file',
};

/** Where the chunks of a download land: in the store, or in memory once that is full. */
export class Landing {
  private last: Promise<void> = Promise.resolve();

  constructor(
    private entry: Entry,
    /** A full store is an error. */
    private readonly required: boolean,
    /** Why the file is not in the store. */
    public why: string | undefined,
    private readonly tell: (note: string) => void = () => undefined,
  ) {
    if (why !== undefined) tell(why);
  }

  get kind(): Entry['kind'] {
    return this.entry.kind;
  }

  /** Keeps chunk `index` and then says so in the manifest. One at a time. */
  async put(manifest: Manifest, index: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const hash = await sha256(bytes);
    const store = async () => {
      await this.withRoom(manifest, () => this.entry.write(manifest, index, bytes));
      manifest.hashes[index] = hash;
      await this.save(manifest);
    };
    return (this.last = this.last.catch(() => undefined).then(store));
  }

  /** Keeps the manifest as it is. */
  async save(manifest: Manifest): Promise<void> {
    await this.withRoom(manifest, () => this.entry.save(manifest));
  }

  /** Keeps in the manifest what is known better now, if there is room. */
  async note(manifest: Manifest): Promise<void> {
    await this.entry.save(manifest).catch(() => undefined);
  }

  /** Goes on in memory, taking along what is there; the store's room is given back. */
  async leaveStore(manifest: Manifest, why: string): Promise<void> {
    this.refuse(manifest.url, why, 'Free some room, or');
    const memory = new MemoryEntry();
    for (const [index, hash] of manifest.hashes.entries()) {
      if (hash !== null) await memory.write(manifest, index, await this.entry.read(manifest, index));
    }
    // If another tab reads it, it stays.
    await this.entry.drop().catch(() => undefined);
    this.goOn(memory, why);
  }

  /** Goes on in memory, with nothing, and leaves to the store what it has. */
  stepAside(url: string, why: string): void {
    this.refuse(url, why, 'Wait for it, or');
    this.goOn(new MemoryEntry(), why);
  }

  private refuse(url: string, why: string, wayOut: string): void {
    if (this.required) throw new QuotaExceeded(`${url} cannot be kept: ${why}. ${wayOut} load it with cache: true`);
  }

  private goOn(memory: MemoryEntry, why: string): void {
    this.entry = memory;
    this.why = `kept in memory only: ${why}`;
    this.tell(this.why);
  }

  /** The whole file; nothing can land any more. */
  async finish(manifest: Manifest): Promise<Blob> {
    await this.last;
    if (!isWhole(manifest)) throw new EagletError('internal', `${manifest.url}: a chunk is missing`);
    return this.entry.blob(manifest);
  }

  /** Removes what has landed. */
  async drop(): Promise<void> {
    await this.entry.drop();
  }

  private async withRoom(manifest: Manifest, write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      const why = error instanceof DOMException ? REASONS[error.name] : undefined;
      if (why === undefined || this.entry.kind === 'memory') throw error;
      await this.leaveStore(manifest, why);
      await write();
    }
  }
}
