// The package in a project that a bundler has built: the worker and the wasm module are found.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { lacking, start } from '../support/browser.mjs';
import { lackingWasm, modules, scratch } from '../support/scratch.mjs';

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
    // Its own program would be one more package.
    'webpack.mjs': `
      import webpack from '${modules}webpack/lib/index.js';
      const output = { path: process.cwd() + '/packed', publicPath: '/packed/', filename: 'main.js' };
      webpack({ mode: 'production', entry: './main.js', output }, (error, stats) => {
        if (error || stats.hasErrors()) throw error ?? new Error(stats.toString('errors-only'));
      });`,
    'packed/index.html': '<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>x</title><script src="main.js"></script></html>',
  });
});
after(async () => {
  await project?.end();
  await browser?.end();
});

for (const [bundler, built, build] of [
  ['Vite', 'dist', () => project.run(`${modules}vite/bin/vite.js`, 'build', '--base', '/dist/', '--logLevel', 'error')],
  ['webpack', 'packed', () => project.run('webpack.mjs')],
]) {
  test(`a page that ${bundler} built runs the wasm module in its worker`, { skip }, async () => {
    build();
    browser.server.mount(`/${built}/`, `${project.folder}/${built}/`);
    const page = await browser.context.newPage();
    await page.goto(browser.server.url(`/${built}/`));
    await page.waitForFunction(() => globalThis.result, undefined, { timeout: 30_000 });
    const result = await page.evaluate(() => globalThis.result);
    // The words are those of the Rust code: everything between the page and it works.
    assert.equal(result.code, 'file');
    assert.match(result.message, /GGUF/);
    const loaded = browser.server.log.filter(({ path }) => path.startsWith(`/${built}/`) && path.endsWith('.wasm'));
    assert.equal(loaded.length, 1);
  });
}
