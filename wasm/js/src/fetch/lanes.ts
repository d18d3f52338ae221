/** At most so many tasks at once; the others wait their turn. */
export class Lanes {
  private readonly waiting: (() => void)[] = [];

  constructor(private free: number) {}

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.free > 0) this.free--;
    else await new Promise<void>((go) => this.waiting.push(go));
    try {
      return await task();
    } finally {
      // Who waits gets the lane straight away, or a newcomer could take it in between.
      const next = this.waiting.shift();
      if (next) next();
      else this.free++;
    }
  }
}

/**
 * Runs the tasks, all of them. If one fails, `stop` is called so that the others end
 * early, and the first error is thrown once none of them runs any more.
 */
export async function all<T>(tasks: readonly Promise<T>[], stop: () => void): Promise<T[]> {
  let failed = false;
  let first: unknown;
  const guarded = tasks.map((task) =>
    task.catch((error: unknown) => {
      if (!failed) {
        failed = true;
        first = error;
        stop();
      }
      return undefined as T;
    }),
  );
  const values = await Promise.all(guarded);
  if (failed) throw first;
  return values;
}
