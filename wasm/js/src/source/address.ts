import { InvalidRequest } from '../errors.js';

/** The address seen from this page or worker, without the part that no server sees. */
export function absolute(url: string | URL): string {
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  try {
    const parsed = new URL(url, base);
    parsed.hash = '';
    return parsed.href;
  } catch {
    throw new InvalidRequest(`"${String(url)}" is not an address`);
  }
}

/** The address as that of a folder. */
export function folderOf(url: string): string {
  const parsed = new URL(url);
  if (!parsed.pathname.endsWith('/')) parsed.pathname += '/';
  return parsed.href;
}

/** The last part of the address, as a person would write it. */
export function nameOf(url: string): string {
  const last = new URL(url).pathname.split('/').at(-1) ?? '';
  try {
    return decodeURIComponent(last);
  } catch {
    return last;
  }
}

/** Whether the browser itself holds what the address stands for. */
export function isLocal(url: string): boolean {
  return /^(blob|data):/.test(url);
}
