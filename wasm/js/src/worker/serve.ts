import { EagletError, toWire } from '../errors.js';
import type * as Wasm from '../wasm/eaglet_wasm.js';
import { Host } from './host.js';
import type { Calls, FromWorker, Op, Port, ToWorker } from './protocol.js';

/** Answers the calls that come through `port`, one at a time and in their order. */
export function serve(port: Port, wasm: typeof Wasm): void {
  const host = new Host(wasm);
  const running = new Map<number, AbortController>();
  let last: Promise<void> = Promise.resolve();

  port.addEventListener('message', ({ data }: MessageEvent<ToWorker>) => {
    if ('cancel' in data) {
      running.get(data.cancel)?.abort();
      return;
    }
    const { id, op, args } = data;
    const post = (answer: FromWorker) => port.postMessage(answer);
    const controller = new AbortController();
    running.set(id, controller);
    last = last.then(async () => {
      try {
        const tell = (event: Calls[Op]['event']) => post({ id, event });
        post({ id, value: await answer(host, op, args, controller.signal, tell) });
      } catch (error) {
        post({ id, error: toWire(error) });
      } finally {
        running.delete(id);
      }
    });
  });
}

function answer(
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
