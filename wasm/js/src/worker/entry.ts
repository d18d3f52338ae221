// The worker that `Eaglet.load` starts. It listens at once and loads the wasm module
// itself, so that no call is lost.

import * as wasm from '../wasm/eaglet_wasm.js';
import * as webgpu from '../wasm/eaglet_webgpu.js';
import { hurryReadbacks } from './hurry.js';
import type { Port } from './protocol.js';
import { serve } from './serve.js';
import { countSubmits } from './submits.js';

countSubmits();
hurryReadbacks();
serve(globalThis as unknown as Port, { wasm, webgpu });
