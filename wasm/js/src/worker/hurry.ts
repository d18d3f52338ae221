// Firefox looks for finished work of a GPU ten times a second, and whenever something is
// submitted (seen in 153: a readback takes 100 ms, whatever it waits for). So there, who waits for
// one submits nothing, again and again.

interface Queue {
  submit(commands: []): void;
}
interface Buffer {
  mapAsync(...how: unknown[]): Promise<void>;
}
interface Device {
  readonly queue: Queue;
  createBuffer(how: { readonly usage: number }): Buffer;
}
type Of<T> = { readonly prototype: T };

const MAP_READ = 1;
const EVERY_MS = 1;

/** Makes this worker's readbacks come when their work is done. To be called before all else. */
export function hurryReadbacks(): void {
  const { GPUBuffer, GPUDevice } = globalThis as { GPUBuffer?: Of<Buffer>; GPUDevice?: Of<Device> };
  if (!GPUBuffer || !GPUDevice || !/\bGecko\/\d/.test(navigator.userAgent)) return;
  const queues = new WeakMap<Buffer, Queue>();
  const { createBuffer } = GPUDevice.prototype;
  GPUDevice.prototype.createBuffer = function (how) {
    const buffer = createBuffer.call(this, how);
    if (how.usage & MAP_READ) queues.set(buffer, this.queue);
    return buffer;
  };
  const { mapAsync } = GPUBuffer.prototype;
  GPUBuffer.prototype.mapAsync = function (...how) {
    const mapped = mapAsync.apply(this, how);
    const queue = queues.get(this);
    if (queue) hurry(queue, mapped);
    return mapped;
  };
}

function hurry(queue: Queue, awaited: Promise<void>): void {
  const again = (): void => {
    queue.submit([]);
    timer = setTimeout(again, EVERY_MS);
  };
  let timer = setTimeout(again, EVERY_MS);
  const stop = (): void => clearTimeout(timer);
  awaited.then(stop, stop);
}
