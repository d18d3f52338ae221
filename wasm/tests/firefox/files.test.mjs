// The second engine: the same tokens, and a cache that works on its file system.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { dist } from '../support/browser.mjs';
import { lackingFirefox, report } from '../support/firefox.mjs';
import { folder, lackingFixtures } from '../support/fixtures.mjs';
import { lackingWasm } from '../support/scratch.mjs';
import { noise, startServer } from '../support/server.mjs';

const skip = lackingFirefox() ?? lackingWasm() ?? lackingFixtures();

test('Firefox decodes what a native processor decodes, and keeps files', { skip }, async (t) => {
  const server = await startServer();
  t.after(() => server.close());
  server.mount('/', dist);
  server.mount('/tests/', fileURLToPath(new URL('../', import.meta.url)));
  server.mount('/fixtures/', folder);
  const slow = noise(22_000_000);
  server.add('/slow.gguf', slow, { delay: 4 });
  const found = await report(server, 'files', { seconds: 120 });
  assert.equal(found.error, undefined);
  for (const { method, ids, expected } of found.answers) assert.deepEqual(ids, expected, method);
  assert.equal(found.answers.length, 12);
  assert.ok(found.first.files.every((file) => file.from === 'network' && file.stored === 'opfs'));
  assert.ok(found.second.files.every((file) => file.from === 'cache' && file.stored === 'opfs'));
  assert.equal(found.aborted, 'AbortError');
  assert.ok(found.left.bytes > 0 && found.left.bytes < slow.length, JSON.stringify(found.left));
  assert.equal(found.resumed, 'file');
  const asked = server.requests('/slow.gguf').length;
  assert.ok(asked <= 2 * Math.ceil(slow.length / (4 << 20)), `${asked} requests`);
  assert.deepEqual([found.whole, found.deleted], [true, true]);
});
