import { EagletError, InvalidRequest } from '../errors.js';
import type { Port } from '../worker/protocol.js';
import { Connection } from './connection.js';

/** Connects to the worker that was given, or to a new one. Only the latter is ended with the engine. */
export function connect(worker: Worker | MessagePort | string | URL | undefined): Connection {
  if (worker === undefined || typeof worker === 'string' || worker instanceof URL) {
    const started = start(worker);
    return new Connection(started, () => started.terminate(), true);
  }
  if (typeof worker.postMessage !== 'function') {
    throw new InvalidRequest('worker must be a Worker, a MessagePort or an address');
  }
  return new Connection(worker as Port, () => undefined, false);
}

function start(address: string | URL | undefined): Worker {
  if (typeof Worker === 'undefined') {
    throw new EagletError('unsupported', 'there are no web workers here: this package is for browsers');
  }
  // webpack puts the file on the developer's disk here, which no page can have come from.
  const here: string = import.meta.url;
  // This very form is what Vite and webpack look for; they bundle the worker then.
  if (address === undefined && (here.startsWith('file:') || sameOrigin(here))) {
    return new Worker(new URL('../worker/entry.js', import.meta.url), { type: 'module', name: 'eaglet' });
  }
  // Not in that form: there is nothing to bundle on a CDN.
  const url = address === undefined ? new URL('../worker/entry.js', here).href : String(address);
  if (sameOrigin(url)) return new Worker(url, { type: 'module', name: 'eaglet' });
  // Browsers start no worker from another origin, such as a CDN, but a worker may import it.
  const script = new Blob([`import ${JSON.stringify(url)};`], { type: 'text/javascript' });
  const local = URL.createObjectURL(script);
  const worker = new Worker(local, { type: 'module', name: 'eaglet' });
  // The worker has read it long before it is reclaimed.
  setTimeout(() => URL.revokeObjectURL(local), 60_000);
  return worker;
}

function sameOrigin(url: string): boolean {
  const here = globalThis.location;
  return !here || new URL(url, here.href).origin === here.origin;
}
