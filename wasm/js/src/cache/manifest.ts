/** Bytes of a chunk: the unit that is fetched, hashed and repaired. */
export const CHUNK = 4 << 20;

/** What is known of a stored file. A chunk counts only once its hash stands here. */
export interface Manifest {
  readonly version: 1;
  readonly url: string;
  /** Bytes; -1 until a stream has come to its end. */
  size: number;
  /** The server's etag or date: the chunks belong to this version of the file. */
  readonly validator: string | null;
  readonly chunk: number;
  /** SHA-256 of each chunk in base64, `null` while it is missing. */
  hashes: (string | null)[];
  /**
   * The server has no such file; remembered, so that it need not be asked again. One that was
   * refused may be given to who asks later: it counts only without a network.
   */
  readonly absent?: true | 'refused';
  /** It stands for a folder that came whole: the files that it needs. */
  readonly parts?: readonly string[];
  /** The hash of the whole file that was verified. */
  integrity?: string;
  /** Milliseconds since 1970 of the last change. */
  stored: number;
}

/** A manifest of a file of which nothing is there yet. */
export function fresh(url: string, size: number, validator: string | null): Manifest {
  const count = Math.max(0, Math.ceil(size / CHUNK));
  return {
    version: 1,
    url,
    size,
    validator,
    chunk: CHUNK,
    hashes: new Array<string | null>(count).fill(null),
    stored: Date.now(),
  };
}

/** A manifest of a file that the server does not have, or refuses. */
export function absent(url: string, how: true | 'refused'): Manifest {
  return { ...fresh(url, 0, null), absent: how };
}

/** A manifest of a folder, written when all of it has come. */
export function folder(url: string, parts: readonly string[]): Manifest {
  return { ...fresh(url, 0, null), parts };
}

/** The address of a file of a folder, which may have a query that belongs to all. */
export function within(folder: string, name: string): string {
  const url = new URL(name, folder);
  url.search = new URL(folder).search;
  return url.href;
}

/** The bytes of chunk `index`; while the size is unknown, all chunks that came are full. */
export function lengthOf(manifest: Manifest, index: number): number {
  if (manifest.size < 0) return manifest.chunk;
  return Math.min(manifest.chunk, manifest.size - index * manifest.chunk);
}

/** The chunks that are not there. */
export function missing(manifest: Manifest): number[] {
  return manifest.hashes.flatMap((hash, index) => (hash === null ? [index] : []));
}

/** Whether the file is there from start to end. */
export function isWhole(manifest: Manifest): boolean {
  return manifest.size >= 0 && missing(manifest).length === 0;
}

/** The bytes that are there. */
export function bytesOf(manifest: Manifest): number {
  return manifest.hashes.reduce(
    (sum, hash, index) => sum + (hash === null ? 0 : lengthOf(manifest, index)),
    0,
  );
}

/** Reads a stored manifest; one that is torn or of another version counts as none. */
export function parse(text: string): Manifest | undefined {
  try {
    const read = JSON.parse(text) as Partial<Manifest> | null;
    const { version, url, size, chunk, hashes } = read ?? {};
    const sound =
      version === 1 &&
      typeof url === 'string' &&
      typeof size === 'number' &&
      typeof chunk === 'number' &&
      chunk > 0 &&
      Array.isArray(hashes) &&
      (size < 0 || hashes.length === Math.ceil(size / chunk));
    return sound ? (read as Manifest) : undefined;
  } catch {
    return undefined;
  }
}
