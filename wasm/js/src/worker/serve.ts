import { EagletError, panicked, toWire, type WireError } from '../errors.js';
import { Host } from './host.js';
import type { Modules } from './pick.js';
import { isOurs, type Calls, type FromWorker, type Op, type Port, type ToWorker } from './protocol.js';

/** What needs no turn, but an engine that is loaded. */
const QUICK: ReadonlySet<Op> = new Set(['tokenize', 'detokenize', 'stats'] as const);

/** Answers the calls that come through `port`, in their order, one at a time but for quick ones. */
export function serve(port: Port, modules: Modules): void {
  const host = new Host(modules);
  const running = new Map<string, AbortController>();
  const post = (answer: FromWorker) => port.postMessage(answer);
  let last: Promise<void> = Promise.resolve();
  /** The last change of the engine. */
  let change: Promise<void> = last;
  let crashed: WireError | undefined;

  // A trap between two steps of a promise of the module leaves it pending for ever. Other
  // faults are not its own: the worker may be that of the page's author.
  const crash = (event: Event, reason: unknown) => {
    if (!(reason instanceof WebAssembly.RuntimeError || overflow(reason) || panicked(reason))) return;
    // It is answered here: the page must not hear of it as a fault of the worker, too.
    event.preventDefault();
    if (host.trapped(reason)) return;
    crashed = toWire(reason);
    for (const id of running.keys()) post({ id, error: crashed });
    running.clear();
  };
  port.addEventListener('error', (event) => crash(event, (event as ErrorEvent).error));
  port.addEventListener('unhandledrejection', (event) => crash(event, (event as PromiseRejectionEvent).reason));

  port.addEventListener('message', ({ data }: MessageEvent<ToWorker>) => {
    if (!isOurs(data)) return;
    if ('cancel' in data) {
      running.get(data.id)?.abort();
      return;
    }
    const { id, op, args } = data;
    if (crashed) return post({ id, error: crashed });
    const controller = new AbortController();
    running.set(id, controller);
    const quick = QUICK.has(op);
    const turn = (quick ? change : last).then(async () => {
      const tell = (event: Calls[Op]['event']) => post({ id, event });
      const result = await answer(host, op, args, controller.signal, tell).then(
        (value) => ({ id, value }),
        (error: unknown) => ({ id, error: toWire(error) }),
      );
      // A crash has answered it otherwise.
      if (running.delete(id)) post(result);
    });
    if (!quick) last = turn;
    if (op === 'load' || op === 'unload') change = turn;
  });
}

/** Whether the module's stack or memory came to its end; such an error may be the author's own. */
function overflow(reason: unknown): boolean {
  return reason instanceof RangeError && /wasm-function\[/.test(reason.stack ?? '');
}

async function answer(
  host: Host,
  op: Op,
  args: unknown,
  signal: AbortSignal,
  tell: (event: Calls[Op]['event']) => void,
): Promise<Calls[Op]['value']> {
  switch (op) {
    case 'load':
      return host.load(args as Calls['load']['args'], signal, tell);
    case 'generate':
      return host.generate(args as string, signal, tell);
    case 'tokenize':
      return host.tokenize(args as string);
    case 'detokenize':
      return host.detokenize(args as Uint32Array);
    case 'stats':
      return host.stats();
    case 'unload':
      return host.unload();
    default:
      throw new EagletError('internal', `the worker is of another version of eaglet: it does not know "${String(op)}"`);
  }
}
