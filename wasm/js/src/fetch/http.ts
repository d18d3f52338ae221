import { Aborted, EagletError } from '../errors.js';
import { linked } from './linked.js';
import { Passing } from './retry.js';

/** The server gives the file to no one without permission. */
export class Refused extends EagletError {
  constructor(message: string) {
    super('network', message);
  }
}

/** Nothing came, or what came cannot be read. */
export class Broken extends Passing {}

/** A connection that brings nothing for so long is given up, in milliseconds. */
const STALL = 30_000;

/** What a server answered to a request for a range. */
export interface Answer {
  /**
   * `whole`: the server ignores ranges and sends the file from its start; `beyond`: the file
   * ends before the range.
   */
  readonly kind: 'range' | 'whole' | 'beyond' | 'absent';
  /** Bytes of the whole file, if the server says so. */
  readonly total: number | undefined;
  /** Changes when the file does: its etag, or else its date. */
  readonly validator: string | null;
  /** The pieces of the body; throws `Passing` if it breaks off. */
  readonly body: AsyncIterable<Uint8Array<ArrayBuffer>>;
  /** Ends the connection of a body that is not read. */
  readonly close: () => Promise<void>;
}

/** Bytes of a file. */
export interface Range {
  readonly offset: number;
  readonly length: number;
}

/** Asks for a range, or for all. */
export async function request(url: string, range: Range | undefined, signal: AbortSignal): Promise<Answer> {
  const watch = new Watch(signal);
  const offset = range?.offset ?? 0;
  try {
    // The browser's own cache would keep a second copy of the weights.
    const response = await fetch(url, {
      ...(range ? { headers: { Range: `bytes=${offset}-${offset + range.length - 1}` } } : {}),
      cache: 'no-store',
      signal: watch.signal,
    });
    const { status } = response;
    // Servers of single-page applications answer with a page to what they do not have.
    const page = response.ok && /^text\/html\b/i.test(response.headers.get('content-type') ?? '');
    const absent = page || status === 404 || status === 410;
    // Of an empty file there is no range, from the start either.
    const empty = /^(bytes \*\/0)?$/.test(response.headers.get('content-range') ?? '');
    const beyond = status === 416 && (offset > 0 || empty);
    if (!response.ok && !absent && !beyond) throw refusal(url, status, response.statusText);
    const ranged = status === 206;
    if (ranged && !startsAt(response, offset)) {
      throw new EagletError('network', `${url}: the server answered with another range`);
    }
    return {
      kind: absent ? 'absent' : ranged || (beyond && offset === 0) ? 'range' : beyond ? 'beyond' : 'whole',
      total: absent || beyond ? 0 : ranged ? totalOf(response) : lengthOf(response),
      validator: versionOf(response.headers),
      body: pieces(url, response, watch),
      async close() {
        watch.end();
        await response.body?.cancel().catch(() => undefined);
      },
    };
  } catch (error) {
    watch.end();
    throw translated(url, error, watch, signal);
  }
}

function refusal(url: string, status: number, text: string): EagletError {
  const message = `${url}: the server answered ${status} ${text}`.trimEnd();
  if (status === 401 || status === 403) return new Refused(message);
  const passing = status >= 500 || status === 408 || status === 429;
  return passing ? new Passing(message) : new EagletError('network', message);
}

/** An etag may be weak or not as it passes a proxy, or from one server to the next. */
function versionOf(headers: Headers): string | null {
  return headers.get('etag')?.replace(/^W\//, '') ?? headers.get('last-modified');
}

function startsAt(response: Response, offset: number): boolean {
  const range = response.headers.get('content-range');
  // Other origins hide this header unless they expose it.
  return range === null || range.startsWith(`bytes ${offset}-`);
}

function totalOf(response: Response): number | undefined {
  const named = /\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1];
  return named === undefined ? undefined : Number(named);
}

/** Asks for the size of a file whose ranges do not tell it: other origins hide that. */
export async function sizeOf(url: string, signal: AbortSignal): Promise<number | undefined> {
  const watch = new Watch(signal);
  // As a range, since a whole file might be compressed and its length another one.
  const how = { method: 'HEAD', headers: { Range: 'bytes=0-' }, cache: 'no-store', signal: watch.signal } as const;
  // Servers may allow other origins to get and no more, or never answer.
  const head = await fetch(url, how).catch(() => undefined);
  watch.end();
  return head?.ok ? lengthOf(head) : undefined;
}

function lengthOf(response: Response): number | undefined {
  // Of a compressed body this is the compressed length.
  if (response.headers.has('content-encoding')) return undefined;
  const length = response.headers.get('content-length');
  return length === null ? undefined : Number(length);
}

async function* pieces(url: string, response: Response, watch: Watch) {
  const reader = response.body?.getReader();
  try {
    while (reader) {
      const { value, done } = await reader.read();
      if (done) return;
      watch.alive();
      yield value;
    }
  } catch (error) {
    throw translated(url, error, watch, watch.outer);
  } finally {
    watch.end();
    // After an end this does nothing; after a `break` it closes the connection.
    await reader?.cancel().catch(() => undefined);
  }
}

function translated(url: string, error: unknown, watch: Watch, signal: AbortSignal): unknown {
  if (signal.aborted) return new Aborted();
  if (watch.stalled) return new Passing(`${url}: nothing came for ${STALL / 1000} seconds`);
  if (error instanceof EagletError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new Broken(`${url}: ${message} (is the server up, and does it allow this page's origin?)`);
}

/** Aborts with an outer signal, and when nothing has come for `STALL`. */
class Watch {
  stalled = false;
  private readonly link;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly outer: AbortSignal) {
    this.link = linked(outer);
    this.alive();
  }

  get signal(): AbortSignal {
    return this.link.signal;
  }

  alive(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.stalled = true;
      this.link.abort();
    }, STALL);
  }

  end(): void {
    clearTimeout(this.timer);
    this.link.unlink();
  }
}
