// Who may write a file of the cache, and who reads it, among all tabs.

import { Aborted } from '../errors.js';

const locks = (): LockManager | undefined => globalThis.navigator?.locks;
const working = (key: string) => `eaglet:${key}`;
const reading = (key: string) => `eaglet:read:${key}`;

/**
 * Runs `task` alone among all loads: two that download one file share the work of one.
 * `waits` is called if another has the file.
 */
export async function exclusively<T>(
  key: string,
  signal: AbortSignal,
  waits: () => void,
  task: () => Promise<T>,
): Promise<T> {
  const manager = locks();
  if (!manager) return task();
  let entered = false;
  const enter = () => {
    entered = true;
    return task();
  };
  try {
    if (signal.aborted) throw new Aborted();
    const free = { ifAvailable: true };
    const done = await manager.request(working(key), free, async (lock) => (lock ? { value: await enter() } : undefined));
    if (done) return done.value;
    waits();
    return (await manager.request(working(key), { signal }, enter)) as T;
  } catch (error) {
    throw !entered && signal.aborted ? new Aborted() : error;
  }
}

/** Runs `task` if no load has the file, for writing or reading; otherwise it is `busy`. */
export async function ifIdle<T>(key: string, task: () => Promise<T>, busy: () => T): Promise<T> {
  const manager = locks();
  if (!manager) return task();
  const free = { ifAvailable: true };
  return manager.request(working(key), free, async (lock) => (lock && !(await isRead(key)) ? task() : busy())) as Promise<T>;
}

/** Whether a load reads the file. New readers need the lock of `exclusively`, so who has that can rely on it. */
export async function isRead(key: string): Promise<boolean> {
  const free = { ifAvailable: true };
  return (await locks()?.request(reading(key), free, async (lock) => lock === null)) ?? false;
}

/** The files that a load reads until it has packed them. */
export class Readers {
  private release: () => void = () => undefined;
  private readonly over = new Promise<void>((go) => (this.release = go));
  private readonly marks: Promise<unknown>[] = [];

  /** Marks a file as being read. To be called by who works on it. */
  async add(key: string): Promise<void> {
    await new Promise<void>((marked) => {
      const mark = () => {
        marked();
        return this.over;
      };
      const asked = locks()?.request(reading(key), { mode: 'shared' }, mark) ?? Promise.resolve();
      // Without a lock it is as it is without locks.
      this.marks.push(asked.catch(() => undefined).then(marked));
    });
  }

  /** All have been read: resolves when everybody knows. */
  async end(): Promise<void> {
    this.release();
    await Promise.all(this.marks);
  }
}
