// The Web Locks of an origin, which Node 20 has not: exclusive and shared ones, each in its turn.

export class FakeLocks {
  #held = new Map();
  #waiting = [];

  request(name, ...rest) {
    const task = rest.pop();
    const { mode = 'exclusive', ifAvailable = false, signal } = rest[0] ?? {};
    if (ifAvailable && signal) throw new DOMException('not both', 'NotSupportedError');
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const asked = { name, mode, task, resolve, reject };
      if (this.#mayEnter(asked, this.#waiting)) return this.#enter(asked);
      if (ifAvailable) return resolve(Promise.resolve(null).then(task));
      this.#waiting.push(asked);
      signal?.addEventListener('abort', () => {
        this.#waiting = this.#waiting.filter((other) => other !== asked);
        reject(signal.reason);
      });
    });
  }

  #mayEnter({ name, mode }, before) {
    const held = this.#held.get(name) ?? [];
    const queued = before.some((other) => other.name === name);
    return !queued && (held.length === 0 || (mode === 'shared' && held.every((other) => other === 'shared')));
  }

  #enter({ name, mode, task, resolve }) {
    this.#held.set(name, [...(this.#held.get(name) ?? []), mode]);
    const done = Promise.resolve({ name, mode }).then(task);
    resolve(done);
    done.catch(() => undefined).then(() => {
      const held = this.#held.get(name);
      held.splice(held.indexOf(mode), 1);
      for (const next of [...this.#waiting]) {
        if (!this.#mayEnter(next, this.#waiting.slice(0, this.#waiting.indexOf(next)))) continue;
        this.#waiting.splice(this.#waiting.indexOf(next), 1);
        this.#enter(next);
      }
    });
  }
}

const original = Object.getOwnPropertyDescriptor(globalThis, 'navigator');

/** Gives this process a navigator with `fields` until the test ends. */
export function pretend(t, fields) {
  t.after(() => Object.defineProperty(globalThis, 'navigator', original ?? { value: undefined, configurable: true }));
  Object.defineProperty(globalThis, 'navigator', { value: fields, configurable: true });
}
