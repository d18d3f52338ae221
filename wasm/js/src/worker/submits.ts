// What this worker hands over to GPUs, counted where it is handed over.

interface Queue {
  submit(commands: readonly unknown[]): void;
}

let count = 0;

/** Counts from now on. To be called before all else. */
export function countSubmits(): void {
  const { GPUQueue } = globalThis as { GPUQueue?: { readonly prototype: Queue } };
  if (!GPUQueue) return;
  const { submit } = GPUQueue.prototype;
  GPUQueue.prototype.submit = function (commands) {
    // Nothing is submitted to hurry what is awaited (`hurry.ts`).
    if (commands.length > 0) count += 1;
    submit.call(this, commands);
  };
}

/** Submits so far, in this worker. */
export function submits(): number {
  return count;
}
