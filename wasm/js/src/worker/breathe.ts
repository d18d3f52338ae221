/** Node's way to let events in; there a channel would go on with its own messages first. */
declare const setImmediate: ((go: () => void) => void) | undefined;

const waiting: (() => void)[] = [];
let channel: MessageChannel | undefined;

/** Lets messages come in. Timers would do too, but browsers make them last 4 ms. */
export function breathe(): Promise<void> {
  return new Promise((go) => {
    if (typeof setImmediate === 'function') return setImmediate(go);
    if (!channel) {
      channel = new MessageChannel();
      channel.port1.onmessage = () => waiting.shift()?.();
    }
    waiting.push(go);
    channel.port2.postMessage(null);
  });
}

/** Milliseconds between two events of progress: more than a screen can show is waste. */
const PAUSE = 30;

/** Passes on what comes, but not more often than a page can use; notes always. */
export function seldom<T extends { readonly note?: string }>(tell: (event: T) => void) {
  let last = -Infinity;
  let held: T | undefined;
  const pass = (event: T) => {
    held = undefined;
    last = performance.now();
    tell(event);
  };
  return {
    tell(event: T): void {
      if (event.note !== undefined || performance.now() - last >= PAUSE) pass(event);
      else held = event;
    },
    /** Passes on the last one, if it was held back. */
    flush(): void {
      if (held) pass(held);
    },
  };
}
