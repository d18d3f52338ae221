import { EagletError } from '../errors.js';
import { lengthOf, parse, type Manifest } from './manifest.js';
import type { Entry, Store } from './store.js';

const NAME = 'eaglet';
// The Cache API wants web addresses; this one can belong to nobody.
const BASE = 'https://eaglet.invalid/';

/** Files in the Cache API, a response for each chunk: where there is no private file system. */
export class CacheStore implements Store {
  private constructor(private readonly cache: Cache) {}

  /** Undefined where the browser has none, as on pages that are not secure contexts. */
  static async find(): Promise<CacheStore | undefined> {
    try {
      return new CacheStore(await caches.open(NAME));
    } catch {
      return undefined;
    }
  }

  async open(key: string): Promise<Entry> {
    const manifest = await this.manifest(`${BASE}${key}`);
    return new CacheEntry(manifest, this.cache, `${BASE}${key}`, () => this.delete(key));
  }

  async list(): Promise<Manifest[]> {
    const addresses = (await this.cache.keys()).map((request) => request.url);
    const files = addresses.filter((url) => !url.slice(BASE.length).includes('/'));
    const found = await Promise.all(files.map((url) => this.manifest(url)));
    return found.filter((manifest) => manifest !== undefined);
  }

  async delete(key: string): Promise<boolean> {
    const address = `${BASE}${key}`;
    const addresses = (await this.cache.keys()).map((request) => request.url);
    const mine = addresses.filter((url) => url === address || url.startsWith(`${address}/`));
    await Promise.all(mine.map((url) => this.cache.delete(url)));
    return mine.length > 0;
  }

  private async manifest(address: string): Promise<Manifest | undefined> {
    const response = await this.cache.match(address);
    return response && parse(await response.text());
  }
}

class CacheEntry implements Entry {
  readonly kind = 'cache';

  constructor(
    readonly manifest: Manifest | undefined,
    private readonly cache: Cache,
    private readonly address: string,
    private readonly remove: () => Promise<boolean>,
  ) {}

  async write(_: Manifest, index: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.cache.put(`${this.address}/${index}`, new Response(bytes));
  }

  async read(manifest: Manifest, index: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await (await this.chunk(index)).arrayBuffer();
    return new Uint8Array(bytes).subarray(0, lengthOf(manifest, index));
  }

  async save(manifest: Manifest): Promise<void> {
    manifest.stored = Date.now();
    await this.cache.put(this.address, new Response(JSON.stringify(manifest)));
  }

  async blob(manifest: Manifest): Promise<Blob> {
    const chunks = await Promise.all(manifest.hashes.map((_, index) => this.chunk(index)));
    if (chunks.some((chunk, index) => chunk.size !== lengthOf(manifest, index))) {
      throw new EagletError('file', `${manifest.url}: it was deleted while it was read; load it again`);
    }
    return new Blob(chunks);
  }

  async close(): Promise<void> {}

  async drop(): Promise<void> {
    await this.remove();
  }

  private async chunk(index: number): Promise<Blob> {
    const response = await this.cache.match(`${this.address}/${index}`);
    return response ? response.blob() : new Blob();
  }
}
