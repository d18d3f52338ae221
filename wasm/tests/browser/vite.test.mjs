// The package in a project that Vite has built: the worker and the wasm module are found.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { lacking, start } from '../support/browser.mjs';
import { lackingWasm, scratch } from '../support/scratch.mjs';

const skip = lacking() ?? lackingWasm();
let browser, project;

before(async () => {
  if (skip) return;
  browser = await start({ seconds: 120 });
  project = await scratch({
    'index.html': '<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>x</title><script type="module" src="/main.js"></script></html>',
    'main.js': `
      import { Eaglet } from 'eaglet';
      Eaglet.load(new Blob(['not a model at all']), { device: 'wasm' }).then(
        () => (globalThis.result = 'loaded'),
        ({ code, message }) => (globalThis.result = { code, message }),
      );`,
    'package.json': '{ "type": "module" }',
  });
});
after(async () => {
  await project?.end();
  await browser?.end();
});

test('a built page runs the wasm module in its worker', { skip }, async () => {
  project.run('vite/bin/vite.js', 'build', '--base', '/built/', '--logLevel', 'error');
  browser.server.mount('/built/', `${project.folder}/dist/`);
  const page = await browser.context.newPage();
  await page.goto(browser.server.url('/built/'));
  await page.waitForFunction(() => globalThis.result, undefined, { timeout: 30_000 });
  const result = await page.evaluate(() => globalThis.result);
  // The words are those of the Rust code: everything between the page and it works.
  assert.equal(result.code, 'file');
  assert.match(result.message, /GGUF/);
  assert.equal(browser.server.log.filter(({ path }) => path.endsWith('.wasm')).length, 1);
});
