import { EagletError } from '../errors.js';
import type { Landing } from '../cache/landing.js';
import { absent, CHUNK, fresh, lengthOf, missing, type Manifest } from '../cache/manifest.js';
import { Refused, request, type Answer } from './http.js';
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
}

/** The server's file is no longer the one that an earlier load has begun. */
class Changed extends Error {}

/** Fetches what `known` lacks and returns the manifest of the whole file. */
export async function download(job: Job, known: Manifest | undefined): Promise<Manifest> {
  let from = known;
  for (let tries = 0; ; tries++) {
    try {
      return await attempt(job, from);
    } catch (error) {
      if (!(error instanceof Changed)) throw error;
      if (tries === 3) throw new EagletError('network', `${job.url} changes while it is fetched`);
      from = undefined;
      job.restarted();
    }
  }
}

/** The first range tells whether there are ranges, and is not wasted if so. */
async function attempt(job: Job, known: Manifest | undefined): Promise<Manifest> {
  const first = (known && missing(known)[0]) ?? 0;
  const manifest = await retry(job.signal, () =>
    job.lanes.run(async () => {
      const answer = await ask(job, first * (known?.chunk ?? CHUNK), known?.chunk ?? CHUNK).catch((error: unknown) => {
        // Some servers refuse what they do not have, unless they may be asked for a list.
        if (job.optional && error instanceof Refused) return undefined;
        throw error;
      });
      if (!answer) return absent(job.url, 'refused');
      if (answer.kind === 'absent') {
        await answer.close();
        return nothing(job);
      }
      if (answer.kind === 'beyond') {
        await answer.close();
        throw new Changed();
      }
      if (answer.kind === 'whole' || answer.total === undefined) return stream(job, answer);
      // Where nothing tells versions apart, what an earlier load has left may be another one.
      if (known && (known.validator === null || !matches(known, answer))) {
        await answer.close();
        throw new Changed();
      }
      const manifest = known ?? fresh(job.url, answer.total, answer.validator);
      await job.sized(manifest);
      if (manifest.size > 0) await land(job, manifest, first, answer);
      else await answer.close();
      return manifest;
    }),
  );
  const { signal, abort, unlink } = linked(job.signal);
  const rest = missing(manifest).map((index) => fetchChunk({ ...job, signal }, manifest, index));
  await all(rest, abort).finally(unlink);
  return manifest;
}

function nothing(job: Job): Manifest {
  if (!job.optional) throw new EagletError('file', `${job.url}: the server has no such file (404, or a page in its place)`);
  return absent(job.url, true);
}

function matches(manifest: Manifest, answer: Answer): boolean {
  return manifest.size === answer.total && manifest.validator === answer.validator;
}

function ask(job: Job, offset: number, length: number): Promise<Answer> {
  return request(job.url, offset, length, job.signal);
}

function fetchChunk(job: Job, manifest: Manifest, index: number): Promise<void> {
  return retry(job.signal, () =>
    job.lanes.run(async () => {
      const answer = await ask(job, index * manifest.chunk, lengthOf(manifest, index));
      if (answer.kind !== 'range' || !matches(manifest, { ...answer, total: answer.total ?? manifest.size })) {
        await answer.close();
        throw new Changed();
      }
      await land(job, manifest, index, answer);
    }),
  );
}

/** Reads one chunk to its last byte, and keeps it. */
async function land(job: Job, manifest: Manifest, index: number, answer: Answer): Promise<void> {
  const bytes = new Uint8Array(lengthOf(manifest, index));
  let filled = 0;
  try {
    for await (const piece of answer.body) {
      if (filled + piece.length > bytes.length) {
        throw new EagletError('network', `${job.url}: the server sent more than was asked for`);
      }
      bytes.set(piece, filled);
      filled += piece.length;
      job.moved(piece.length);
    }
    if (filled < bytes.length) throw new Passing(`${job.url}: the connection ended early`);
  } catch (error) {
    job.moved(-filled);
    throw error;
  }
  await job.landing.put(manifest, index, bytes);
}

/** A server without ranges: one stream, cut into chunks as it comes. */
async function stream(job: Job, answer: Answer): Promise<Manifest> {
  const whole = answer.kind === 'whole' ? answer : await request(job.url, 0, 2 ** 52, job.signal);
  if (whole !== answer) await answer.close();
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
    if (whole.total !== undefined && moved !== whole.total) {
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
