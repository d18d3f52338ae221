import { Aborted, EagletError, fromWire } from '../errors.js';
import { callIds, isOurs, type Calls, type FromWorker, type Op, type Port } from '../worker/protocol.js';

interface Pending {
  resolve(value: never): void;
  reject(error: unknown): void;
  event?: ((event: never) => void) | undefined;
}

/** How a call may be watched and stopped. */
export interface Watch<O extends Op> {
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: (event: Calls[O]['event']) => void;
}

/** The page's end of the line to a worker. */
export class Connection {
  private readonly pending = new Map<string, Pending>();
  private readonly nextId = callIds();
  private answered = false;
  private closed: EagletError | undefined;

  constructor(
    private readonly port: Port,
    private readonly hangUp: () => void,
    /** The worker does nothing else, so that whatever fails in it is our failure. */
    private readonly alone: boolean,
  ) {
    port.addEventListener('message', ({ data }: MessageEvent<FromWorker>) => this.receive(data));
    (port as Partial<MessagePort>).start?.();
    (port as Partial<Worker>).addEventListener?.('error', (event) => {
      // Its author's code may fail without harm to the engine, whose own faults are answers.
      if (this.answered && !this.alone) return;
      const why = (event as ErrorEvent).message || 'its script cannot be loaded';
      this.close(new EagletError('internal', `the worker failed: ${why}`));
    });
  }

  /** The answer to a call. An abort rejects at once; the worker stops as soon as it can. */
  call<O extends Op>(op: O, args: Calls[O]['args'], watch: Watch<O> = {}): Promise<Calls[O]['value']> {
    const { signal, onEvent } = watch;
    if (this.closed) return Promise.reject(this.closed);
    if (signal?.aborted) return Promise.reject(Aborted.by(signal));
    const id = this.nextId();
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.pending.delete(id);
        this.port.postMessage({ id, cancel: true });
        reject(signal ? Aborted.by(signal) : new Aborted());
      };
      const settled = <T>(settle: (value: T) => void) => (value: T) => {
        signal?.removeEventListener('abort', abort);
        settle(value);
      };
      this.pending.set(id, { resolve: settled(resolve), reject: settled(reject), event: onEvent });
      signal?.addEventListener('abort', abort, { once: true });
      this.port.postMessage({ id, op, args });
    });
  }

  /** Stops all calls that run or wait; they fail with `why`. */
  stop(why: EagletError): void {
    for (const [id, { reject }] of this.pending) {
      this.port.postMessage({ id, cancel: true });
      reject(why);
    }
    this.pending.clear();
  }

  /** Ends the line; calls that wait fail with `why`. */
  close(why: EagletError): void {
    if (this.closed) return;
    this.closed = why;
    this.stop(why);
    this.hangUp();
  }

  private receive(message: FromWorker): void {
    const call = isOurs(message) ? this.pending.get(message.id) : undefined;
    if (!call) return;
    this.answered = true;
    if ('event' in message) {
      call.event?.(message.event as never);
      return;
    }
    this.pending.delete(message.id);
    if ('error' in message) call.reject(fromWire(message.error));
    else call.resolve(message.value as never);
  }
}
