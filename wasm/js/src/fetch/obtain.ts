import { Landing } from '../cache/landing.js';
import { bytesOf, isWhole, lengthOf, type Manifest } from '../cache/manifest.js';
import { exclusively, isRead, type Readers } from '../cache/locks.js';
import { lackOfRoom, openEntry, type Opened } from '../cache/open.js';
import type { Entry } from '../cache/store.js';
import { Aborted, IntegrityError } from '../errors.js';
import type { CacheMode } from '../types/load.js';
import type { FileStats } from '../types/stats.js';
import { download, type Job } from './download.js';
import { keyOf, sha256, verify } from './hash.js';
import type { Lanes } from './lanes.js';
import { Passing } from './retry.js';
import type { FileProgress, Tally } from './tally.js';

/** How long a server's word that it has no such file is good, in milliseconds: a day. */
const ABSENT = 24 * 3600 * 1000;

/** A file that has come. */
export interface Obtained {
  /** Undefined if the server has no such file. */
  readonly blob: Blob | undefined;
  readonly stats: FileStats;
}

/** What is wanted of a file on a server. */
export interface Remote {
  readonly url: string;
  readonly name: string;
  /** A missing file is an answer, not an error. */
  readonly optional: boolean;
  readonly integrity: string | undefined;
}

/** What all files of a load share. */
export interface Shared {
  readonly mode: CacheMode;
  readonly lanes: Lanes;
  readonly signal: AbortSignal;
  readonly tally: Tally;
  readonly readers: Readers;
}

/** Brings a file from the cache, the network, or both. */
export async function obtain(remote: Remote, shared: Shared): Promise<Obtained> {
  const key = await keyOf(remote.url);
  const progress = shared.tally.file();
  const waits = () => progress.note('another tab, or another load, is fetching a file of it: waiting');
  return exclusively(key, shared.signal, waits, async () => {
    const opened = await openEntry(key, shared.mode);
    try {
      const obtained = await bring(key, remote, shared, opened, progress);
      if (obtained.blob && obtained.stats.stored !== 'memory') await shared.readers.add(key);
      return obtained;
    } finally {
      await opened.entry.close();
    }
  });
}

async function bring(
  key: string,
  remote: Remote,
  shared: Shared,
  opened: Opened,
  progress: FileProgress,
): Promise<Obtained> {
  const { mode, signal, lanes } = shared;
  const landing = new Landing(opened.entry, mode === 'require', opened.note, (note) => progress.note(note));
  let manifest = mode === 'reload' ? undefined : opened.entry.manifest;
  // Another load could do without the file, and remembers for a while that there is none.
  const none = manifest?.absent && remote.optional ? manifest : undefined;
  if (manifest?.absent && !(none?.absent === true && Date.now() - none.stored < ABSENT)) manifest = undefined;
  // What broke off without a word of its size cannot be gone on with.
  if (manifest && manifest.size < 0) manifest = undefined;
  let repaired = 0;
  if (manifest) {
    progress.size(manifest.size);
    repaired = await check(manifest, opened.entry, signal, (bytes) => progress.found(bytes));
  }
  const asked = !manifest || !isWhole(manifest);
  if (asked && landing.kind !== 'memory' && (await isRead(key))) {
    landing.stepAside(remote.url, 'another load is reading the file that is kept');
    progress.restart();
    manifest = undefined;
  }
  if (!manifest || asked) {
    // It vouches for the bytes that were there, and not for those that come in their place.
    delete manifest?.integrity;
    const job: Job = {
      ...{ url: remote.url, optional: remote.optional, landing, lanes, signal },
      moved: (bytes) => progress.moved(bytes),
      restarted: () => progress.restart(),
      note: (words) => progress.note(words),
      sized: async (of) => {
        progress.size(of.size);
        // What is written over makes room for what comes in its place.
        const there = bytesOf(opened.entry.manifest ?? of);
        const lacks = landing.kind !== 'memory' && (await lackOfRoom(of.size - there));
        if (lacks) await landing.leaveStore(of, lacks);
      },
    };
    manifest = await download(job, manifest).catch((error: unknown) => {
      // Without a network, what was known before has to do.
      if (none && error instanceof Passing) return none;
      throw error;
    });
    if (manifest.absent && manifest !== none) await landing.note(manifest);
  }
  const blob = manifest.absent ? undefined : await landing.finish(manifest);
  const { name, integrity } = remote;
  // Once: later the hashes of its chunks vouch for the whole file.
  if (blob && integrity !== undefined && manifest.integrity !== integrity) {
    await verify(name, blob, integrity, signal).catch(async (error: unknown) => {
      // A wrong file must not be what the next load finds; but another load may find it right.
      if (error instanceof IntegrityError && !(await isRead(key))) await landing.drop();
      throw error;
    });
    manifest.integrity = integrity;
    await landing.note(manifest);
  }
  progress.done(manifest.size);
  const stats = {
    name,
    bytes: manifest.size,
    from: !asked ? 'cache' : progress.fromCache > 0 ? 'both' : 'network',
    stored: landing.kind,
    repaired,
    ...(landing.why === undefined ? {} : { note: landing.why }),
  } as const;
  return { blob, stats };
}

/** Forgets chunks that are not what they were when they were stored. */
async function check(
  manifest: Manifest,
  entry: Entry,
  signal: AbortSignal,
  found: (bytes: number) => void,
): Promise<number> {
  let damaged = 0;
  for (const [index, hash] of manifest.hashes.entries()) {
    if (hash === null) continue;
    if (signal.aborted) throw new Aborted();
    const bytes = await entry.read(manifest, index);
    if ((await sha256(bytes)) === hash) {
      found(lengthOf(manifest, index));
    } else {
      manifest.hashes[index] = null;
      damaged++;
    }
  }
  return damaged;
}
