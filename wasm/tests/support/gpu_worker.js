// The worker of the package, with an eye on the GPU: a page asks, through a channel of the
// worker's name, what was submitted, has the device taken away, or has the adapter pass for
// another one.

import '/worker/entry.js';

const seen = { devices: [], submits: 0 };

const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (...args) {
  const device = await requestDevice.apply(this, args);
  seen.devices.push(device);
  return device;
};
const { submit } = GPUQueue.prototype;
GPUQueue.prototype.submit = function (...args) {
  seen.submits += 1;
  return submit.apply(this, args);
};

const give = (prototype, property, value) => void Object.defineProperty(prototype, property, { get: () => value });
const does = {
  start: () => undefined,
  counts: () => ({ devices: seen.devices.length, submits: seen.submits }),
  lose: () => seen.devices.at(-1).destroy(),
  'pass for real': () => give(GPUAdapterInfo.prototype, 'isFallbackAdapter', false),
  'have few buffers': () => give(GPUSupportedLimits.prototype, 'maxStorageBuffersPerShaderStage', 8),
};
const asked = new BroadcastChannel(self.name);
asked.onmessage = ({ data }) => asked.postMessage({ done: does[data]() });
asked.postMessage({ done: 'listening' });
