import { Aborted, EagletError } from '../errors.js';

/** An error that may go away: a connection that broke, a server that is busy. */
export class Passing extends EagletError {
  constructor(message: string) {
    super('network', message);
  }
}

/** Waits between tries, in milliseconds. */
const WAITS = [250, 1000, 4000];

/** Tries `task` again while it fails with `Passing`; `again` hears why, before the wait. */
export async function retry<T>(
  signal: AbortSignal,
  task: () => Promise<T>,
  again: (why: Passing) => void = () => undefined,
): Promise<T> {
  for (const wait of WAITS) {
    try {
      return await task();
    } catch (error) {
      if (!(error instanceof Passing)) throw error;
      again(error);
    }
    await pause(wait, signal);
  }
  return task();
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new Aborted());
    const stop = () => {
      clearTimeout(timer);
      reject(new Aborted());
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, milliseconds);
    signal.addEventListener('abort', stop, { once: true });
  });
}
