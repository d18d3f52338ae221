// WebGPU in the second engine, on Mesa's lavapipe: unlike Chromium's adapter it has f16, no
// subgroups, and the smallest buffers that WebGPU allows.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { dist } from '../support/browser.mjs';
import { lackingFirefox, report } from '../support/firefox.mjs';
import { folder, lackingFixtures } from '../support/fixtures.mjs';
import { lackingWasm } from '../support/scratch.mjs';
import { startServer } from '../support/server.mjs';

const skip = lackingFirefox() ?? lackingWasm() ?? lackingFixtures();

test('Firefox decodes on WebGPU what plain decoding does there, and in f32 a native processor', { skip }, async (t) => {
  const server = await startServer();
  t.after(() => server.close());
  server.mount('/', dist);
  server.mount('/tests/', fileURLToPath(new URL('../', import.meta.url)));
  server.mount('/fixtures/', folder);
  const found = await report(server, 'gpu', { seconds: 300 });
  assert.equal(found.error, undefined);
  if (found.lacking) return t.skip(found.lacking);
  assert.deepEqual(found.runs.map(({ dtype }) => dtype), ['f32', 'f32', 'f16', 'q8', 'q4']);
  for (const { dtype, device, answers } of found.runs) {
    assert.equal(device.name, 'webgpu');
    assert.match(device.description, found.features.includes('shader-f16') ? /f32 and f16/ : /f32,/);
    assert.ok(answers.length >= 4, dtype);
    let plain;
    for (const { method, ids, native, rounds, readbacks } of answers) {
      if (method === 'plain') {
        plain = ids;
        assert.equal(readbacks, rounds);
      }
      assert.ok(ids.length > 8);
      assert.deepEqual(ids, dtype === 'f32' ? native : plain, `${dtype}, ${method}`);
    }
  }
  // By itself, Firefox looks for finished work ten times a second.
  const paces = found.runs.flatMap(({ answers }) => answers.map(({ decode_s, rounds }) => decode_s / rounds));
  assert.ok(Math.min(...paces) < 0.05, `seconds a round: ${paces}`);
});
