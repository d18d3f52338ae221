/**
 * Pieces of an answer as they come, for one `for await`. Leaving the loop stops the
 * answer, as does `abort`.
 */
export class Stream<T> implements AsyncIterable<T> {
  private readonly queue: T[] = [];
  private wake: (() => void) | undefined;
  private ended = false;
  private failure: unknown;
  private taken = false;

  constructor(private readonly controller: AbortController) {}

  /** Stops the answer; the loop then throws an `AbortError`. */
  abort(): void {
    this.controller.abort();
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    if (this.taken) throw new TypeError('a stream can be read once');
    this.taken = true;
    const pieces = this.pieces();
    return {
      next: () => pieces.next(),
      // A generator that has not begun would not hear of it.
      return: () => {
        if (!this.ended) this.controller.abort();
        return pieces.return(undefined);
      },
    };
  }

  private async *pieces(): AsyncGenerator<T, undefined> {
    for (;;) {
      while (this.queue.length > 0) yield this.queue.shift() as T;
      if (this.failure !== undefined) throw this.failure;
      if (this.ended) return undefined;
      await new Promise<void>((wake) => (this.wake = wake));
    }
  }

  /** @internal */
  push(piece: T): void {
    this.queue.push(piece);
    this.wake?.();
  }

  /** @internal */
  end(): void {
    this.ended = true;
    this.wake?.();
  }

  /** @internal */
  fail(error: unknown): void {
    // What came before an abort is no longer wanted; before any other error it is.
    if (this.controller.signal.aborted) this.queue.length = 0;
    this.failure = error;
    this.end();
  }
}
