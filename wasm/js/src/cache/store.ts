import type { Manifest } from './manifest.js';

/** One file in a store. */
export interface Entry {
  /** Where it lies. */
  readonly kind: 'opfs' | 'cache' | 'memory';
  /** What an earlier load has left. */
  readonly manifest: Manifest | undefined;
  /** Keeps a chunk. Throws the platform's `QuotaExceededError` when the store is full. */
  write(manifest: Manifest, index: number, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** A chunk as it lies there, possibly damaged or short. */
  read(manifest: Manifest, index: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Keeps the manifest; chunks written before are on the disk when it is. */
  save(manifest: Manifest): Promise<void>;
  /** The whole file. Ends the writing. */
  blob(manifest: Manifest): Promise<Blob>;
  /** Lets go of the file, so that others can write it. */
  close(): Promise<void>;
  /** Removes it. */
  drop(): Promise<void>;
}

/** A place where files outlive the page. */
export interface Store {
  open(key: string): Promise<Entry>;
  /** The manifests of all files, whole or not. */
  list(): Promise<Manifest[]>;
  /** Whether there was something to remove. */
  delete(key: string): Promise<boolean>;
}
