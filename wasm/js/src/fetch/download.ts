import { EagletError } from '../errors.js';
import type { Landing } from '../cache/landing.js';
import { absent, CHUNK, fresh, lengthOf, missing, type Manifest } from '../cache/manifest.js';
import { Broken, Refused, request, sizeOf, type Answer } from './http.js';
import { all, type Lanes } from './lanes.js';
import { linked } from './linked.js';
import { Passing, retry } from './retry.js';

/** What a download needs beside its address. */
export interface Job {
  readonly url: string;
  /** A missing file is an answer, not an error. */
  readonly optional: boolean;
  readonly landing: Landing;
  /** Connections, shared by all files of a load. */
  readonly lanes: Lanes;
  readonly signal: AbortSignal;
  /** Bytes that came, or with a minus bytes that have to come again. */
  readonly moved: (bytes: number) => void;
  /** The size is known. */
  readonly sized: (manifest: Manifest) => Promise<void>;
  /** All that came is worthless. */
  readonly restarted: () => void;
  /** Something that a person should know. */
  readonly note: (words: string) => void;
}

/** The server's file is no longer the one that was begun. */
class Changed extends Error {}

/** How often a file may change under way before it is fetched in one go. */
const CHANGES = 3;

/** Fetches what `known` lacks and returns the manifest of the whole file. */
export async function download(job: Job, known: Manifest | undefined): Promise<Manifest> {
  let from = known;
  let reached = false;
  for (let tries = 0; ; tries++) {
    try {
      return await inRanges(job, from);
    } catch (error) {
      if (!(error instanceof Changed || (error instanceof Unranged && !from))) throw error;
      job.restarted();
      from = undefined;
      // Servers behind one address may each have a version of their own, or garble ranges.
      if (error instanceof Changed ? tries >= CHANGES : reached) return retry(job.signal, () => job.lanes.run(() => inOneGo(job)));
      if (error instanceof Changed) continue;
      // Or nobody was there: then ranges are tried once more.
      await (await request(job.url, undefined, job.signal)).close();
      reached = true;
    }
  }
}

/** It is the first range that cannot be read, so that it may be ranges that cannot. */
class Unranged extends Passing {}

/** The first range tells whether there are ranges, and is not wasted if so. */
async function inRanges(job: Job, known: Manifest | undefined): Promise<Manifest> {
  const first = (known && missing(known)[0]) ?? 0;
  let ranged = true;
  const begin = async (): Promise<Manifest> => {
    const chunk = known?.chunk ?? CHUNK;
    const range = { offset: first * chunk, length: chunk };
    const answer = await request(job.url, range, job.signal).catch((error: unknown) => {
      // Some servers refuse what they do not have, unless they may be asked for a list.
      if (job.optional && error instanceof Refused) return undefined;
      throw error;
    });
    if (!answer) return absent(job.url, 'refused');
    if (answer.kind === 'absent') return nothing(job, answer);
    ranged = answer.kind !== 'whole';
    if (!ranged) return stream(job, answer);
    const total = answer.total ?? (await sizeOf(job.url, job.signal));
    // Where nothing tells versions apart, what an earlier load has left may be another one.
    const other = known && (known.validator === null || !matches(known, answer.validator, total));
    if (answer.kind === 'beyond' || total === undefined || other) await answer.close();
    if (answer.kind === 'beyond' || other) throw new Changed();
    if (total === undefined) return inOneGo(job);
    const manifest = known ?? fresh(job.url, total, answer.validator);
    await job.sized(manifest);
    if (manifest.size > 0) await land(job, manifest, first, answer);
    else await answer.close();
    return manifest;
  };
  // Browsers do not say whether a server is away for a moment or refuses this page for good.
  const again = ({ message }: Passing) => job.note(`${message}: trying again`);
  const manifest = await retry(job.signal, () => job.lanes.run(begin), again).catch((error: unknown) => {
    throw ranged && error instanceof Broken ? new Unranged(error.message) : error;
  });
  const { signal, abort, unlink } = linked(job.signal);
  const rest = missing(manifest).map((index) => fetchChunk({ ...job, signal }, manifest, index));
  await all(rest, abort).finally(unlink);
  return manifest;
}

/** Fetches the file as one stream. */
async function inOneGo(job: Job): Promise<Manifest> {
  const answer = await request(job.url, undefined, job.signal);
  return answer.kind === 'absent' ? nothing(job, answer) : stream(job, answer);
}

async function nothing(job: Job, answer: Answer): Promise<Manifest> {
  await answer.close();
  if (!job.optional) throw new EagletError('file', `${job.url}: the server has no such file (404, or a page in its place)`);
  return absent(job.url, true);
}

function matches(manifest: Manifest, validator: string | null, total: number | undefined): boolean {
  return manifest.size === (total ?? manifest.size) && manifest.validator === validator;
}

/** A range of the very file that was begun. */
async function range(job: Job, manifest: Manifest, offset: number, length: number): Promise<Answer> {
  const answer = await request(job.url, { offset, length }, job.signal);
  if (answer.kind === 'range' && matches(manifest, answer.validator, answer.total)) return answer;
  await answer.close();
  throw new Changed();
}

function fetchChunk(job: Job, manifest: Manifest, index: number): Promise<void> {
  const [offset, length] = [index * manifest.chunk, lengthOf(manifest, index)];
  return retry(job.signal, () =>
    job.lanes.run(async () => land(job, manifest, index, await range(job, manifest, offset, length))),
  );
}

/** Reads one chunk to its last byte, and keeps it. */
async function land(job: Job, manifest: Manifest, index: number, first: Answer): Promise<void> {
  const bytes = new Uint8Array(lengthOf(manifest, index));
  let filled = 0;
  const fill = async (answer: Answer) => {
    const before = filled;
    for await (const piece of answer.body) {
      if (filled + piece.length > bytes.length) {
        throw new Broken(`${job.url}: the server sent more than was asked for`);
      }
      bytes.set(piece, filled);
      filled += piece.length;
      job.moved(piece.length);
    }
    if (filled === before) throw new Passing(`${job.url}: the connection ended early`);
  };
  try {
    await fill(first);
    // Some servers give less at a time than they are asked for.
    while (filled < bytes.length) {
      await fill(await range(job, manifest, index * manifest.chunk + filled, bytes.length - filled));
    }
  } catch (error) {
    job.moved(-filled);
    throw error;
  }
  await job.landing.put(manifest, index, bytes);
}

/** A file without ranges: one stream, cut into chunks as it comes. */
async function stream(job: Job, whole: Answer): Promise<Manifest> {
  const manifest = fresh(job.url, whole.total ?? -1, whole.validator);
  manifest.hashes = [];
  if (whole.total !== undefined) await job.sized(manifest);
  // Until the end it does not count: no range can go on with a stream.
  manifest.size = -1;
  let chunk = new Uint8Array(manifest.chunk);
  let filled = 0;
  let moved = 0;
  const put = async (bytes: Uint8Array<ArrayBuffer>) => {
    manifest.hashes.push(null);
    await job.landing.put(manifest, manifest.hashes.length - 1, bytes);
  };
  try {
    for await (let piece of whole.body) {
      moved += piece.length;
      job.moved(piece.length);
      while (piece.length > 0) {
        const fits = piece.subarray(0, chunk.length - filled);
        chunk.set(fits, filled);
        filled += fits.length;
        piece = piece.subarray(fits.length);
        if (filled < chunk.length) continue;
        await put(chunk);
        chunk = new Uint8Array(manifest.chunk);
        filled = 0;
      }
    }
    // What was sent compressed is more, and not every origin may be told that it was.
    if (whole.total !== undefined && moved < whole.total) {
      throw new Passing(`${job.url}: the connection ended early`);
    }
  } catch (error) {
    job.moved(-moved);
    throw error;
  }
  if (filled > 0) await put(chunk.slice(0, filled));
  manifest.size = moved;
  await job.landing.save(manifest);
  return manifest;
}
