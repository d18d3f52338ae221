import { Aborted, IntegrityError, InvalidRequest } from '../errors.js';
import { Sha256 } from './sha256.js';

/** How much of a file is read at a time while it is hashed. */
const STRIDE = 4 << 20;

/** SHA-256 of bytes that lie in memory, in base64. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  if (globalThis.crypto?.subtle) {
    return base64(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
  }
  const hash = new Sha256();
  hash.update(bytes);
  return base64(hash.digest());
}

/** Refuses what is no hash of a file. */
export function checkIntegrity(option: string, name: string, integrity: unknown): void {
  if (typeof integrity === 'string' && /^sha256-[A-Za-z0-9+/]{43}=$/.test(integrity)) return;
  throw new InvalidRequest(`${option} of ${name}: "${String(integrity)}" is not sha256- and base64`);
}

/** Refuses a file that has another hash than `integrity`, a string `sha256-…`. */
export async function verify(
  name: string,
  blob: Blob,
  integrity: string,
  signal: AbortSignal,
): Promise<void> {
  const hash = new Sha256();
  for (let at = 0; at < blob.size; at += STRIDE) {
    if (signal.aborted) throw new Aborted();
    hash.update(new Uint8Array(await blob.slice(at, at + STRIDE).arrayBuffer()));
  }
  const found = `sha256-${base64(hash.digest())}`;
  if (found !== integrity) {
    throw new IntegrityError(`${name} is not the file that was asked for: it has the hash ${found}, not ${integrity}`);
  }
}

/** A short name for a URL that file systems take. */
export async function keyOf(url: string): Promise<string> {
  const hash = await sha256(new TextEncoder().encode(url));
  return hash.slice(0, 32).replaceAll('+', '-').replaceAll('/', '_');
}

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}
