// What is published: its files, its types, and that it needs nothing else.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { lackingWasm, modules, packed, scratch } from '../support/scratch.mjs';

const skip = lackingWasm();

test('the package holds the code, the types and the wasm module, and nothing else', { skip }, () => {
  const { files } = packed();
  const names = files.map((file) => file.path);
  for (const name of [
    'index.js', 'index.d.ts', 'worker/entry.js', 'wasm/eaglet_wasm.js', 'wasm/eaglet_wasm_bg.wasm', 'wasm/eaglet_webgpu.js', 'wasm/eaglet_webgpu_bg.wasm',
    'README.md', 'LICENSE-MIT', 'LICENSE-APACHE', 'package.json',
  ]) {
    assert.ok(names.includes(name), `${name} is missing`);
  }
  const others = names.filter((name) => !/\.(js|d\.ts|wasm|md)$|^LICENSE|^package\.json$/.test(name));
  assert.deepEqual(others, []);
  assert.ok(!names.some((name) => name.startsWith('demo/')), 'the demo is not published');
});

test('it depends on nothing, and no address of a registry stands in the lock file', async () => {
  const manifest = JSON.parse(await readFile(new URL('../../dist/package.json', import.meta.url), 'utf8'));
  for (const kind of ['dependencies', 'devDependencies', 'peerDependencies', 'scripts', 'private']) {
    assert.equal(manifest[kind], undefined);
  }
  const lock = JSON.parse(await readFile(new URL('../../js/package-lock.json', import.meta.url), 'utf8'));
  const resolved = Object.entries(lock.packages).filter(([, entry]) => entry.resolved !== undefined);
  assert.deepEqual(resolved, []);
});

test('a strict TypeScript project compiles against it', { skip }, async (t) => {
  const compilerOptions = {
    strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noUnusedLocals: false,
    skipLibCheck: false, noEmit: true, target: 'ES2022', module: 'ESNext', moduleResolution: 'bundler',
    lib: ['ES2022', 'DOM', 'DOM.Iterable'], types: [],
  };
  const project = await scratch({
    'consumer.ts': await readFile(new URL('../support/consumer.ts', import.meta.url), 'utf8'),
    'tsconfig.json': JSON.stringify({ compilerOptions, files: ['consumer.ts'] }),
    'package.json': '{ "type": "module" }',
  });
  t.after(project.end);
  for (const more of [[], ['--module', 'nodenext', '--moduleResolution', 'nodenext']]) {
    try {
      project.run(`${modules}typescript/bin/tsc`, '--project', '.', ...more);
    } catch (error) {
      assert.fail(error.stdout || error.message);
    }
  }
});
