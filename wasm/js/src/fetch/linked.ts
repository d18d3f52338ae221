/** A controller that is aborted with `signal` too; `unlink` when the work is over. */
export function linked(signal: AbortSignal | undefined) {
  const controller = new AbortController();
  const abort = () => controller.abort(signal?.reason);
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort);
  return { controller, signal: controller.signal, abort, unlink: () => signal?.removeEventListener('abort', abort) };
}
