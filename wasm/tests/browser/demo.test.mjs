// The demo as a person uses it; screenshots are kept in target/web-artefacts.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { artefacts, lacking, start } from '../support/browser.mjs';
import { expected, folder, lackingFixtures } from '../support/fixtures.mjs';
import { lackingWasm } from '../support/scratch.mjs';

const skip = lacking() ?? lackingWasm() ?? lackingFixtures();
let browser, page;
const errors = [];

before(async () => {
  if (skip) return;
  mkdirSync(artefacts, { recursive: true });
  browser = await start({ seconds: 200 });
  browser.server.mount('/fixtures/', folder);
  const name = expected().models.default ? 'default' : 'tiny';
  const head = name === 'default' ? '/fixtures/default-eagle3.gguf' : '';
  page = await browser.context.newPage();
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  await page.goto(browser.server.url(`/demo/?model=/fixtures/${name}.gguf&head=${head}&device=wasm`));
});
after(() => browser?.end());

const shot = (name) => page.screenshot({ path: `${artefacts}${name}.png` });
const button = (name) => page.getByRole('button', { name, exact: true });

test('a wrong address is told in words', { skip }, async () => {
  const field = page.getByLabel('GGUF file, or folder');
  const address = await field.inputValue();
  await field.fill(browser.server.url('/none.gguf'));
  await button('Load').click();
  await page.getByText('the server has no such file').waitFor();
  errors.length = 0; // the browser's own line about the 404
  await field.fill(address);
});

test('loading, asking, going on', { skip }, async () => {
  await button('Load').click();
  await page.getByRole('progressbar').waitFor();
  await button('Unload').waitFor({ timeout: 60_000 });
  assert.match(await page.locator('#facts').innerText(), /wasm/);
  const message = page.getByLabel('Your message');
  assert.ok(await message.evaluate((it) => it === document.activeElement), 'a person can type at once');
  await page.getByText('Options').click();
  await page.getByLabel('Tokens at most').fill('60');
  await page.getByText('Options').click();
  await page.keyboard.press('Tab');
  await message.fill('Why is the sky blue? Answer in three sentences.');
  await message.press('Enter');
  await button('Stop').waitFor();
  await page.locator('.answer .figure').first().waitFor({ timeout: 60_000 });
  assert.ok((await page.locator('.answer .text').first().innerText()).length > 20);
  assert.match(await page.locator('.answer .figure').first().innerText(), /tokens\/s · τ \d/);
  await message.fill('And why is it red in the evening?');
  await button('Send').click();
  await page.locator('.answer .figure').nth(1).waitFor({ timeout: 60_000 });
  assert.match(await page.locator('.answer .figure').nth(1).innerText(), /\d+ reused/);
  await shot('chat');
});

test('accepted guesses are marked, as many as were accepted', { skip }, async () => {
  const summary = await page.locator('.answer .figure').first().innerText();
  const share = Number(/(\d+)% guessed/.exec(summary)[1]);
  const marks = await page.locator('.answer .text').first().locator('mark').count();
  assert.equal(marks > 0, share > 0, summary);
  // A guess that is only white space has no word to mark.
  assert.ok(marks <= Math.ceil(((share + 1) / 100) * Number(/(\d+) tokens/.exec(summary)[1])), `${marks}: ${summary}`);
});

test('an answer can be stopped', { skip }, async () => {
  await page.getByLabel('Your message').fill('Write a long story.');
  await button('Send').click();
  await page.locator('.answer .text').nth(2).locator('visible=true').waitFor();
  await button('Stop').click();
  await page.getByText('Stopped.').waitFor();
  await button('Send').waitFor();
});

test('side by side the texts are the same', { skip }, async () => {
  await page.getByText('Side by side').click();
  await button('Run both').click();
  await page.getByText('The same text, token for token').waitFor({ timeout: 90_000 });
  assert.match(await page.locator('#verdict').innerText(), /\d+ passes of the model instead of \d+/);
  await shot('side-by-side');
  await page.emulateMedia({ colorScheme: 'dark' });
  await shot('dark');
  await page.emulateMedia({ colorScheme: 'light' });
});

test('on a phone nothing is cut off', { skip }, async () => {
  await page.setViewportSize({ width: 360, height: 780 });
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.equal(width, 360);
  await page.screenshot({ path: `${artefacts}phone.png`, fullPage: true });
  await page.setViewportSize({ width: 1280, height: 860 });
});

test('every control has a name, and unloading brings the form back', { skip }, async () => {
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll('input, select, textarea, button')]
      .filter((it) => !it.labels?.length && !it.textContent.trim() && !it.getAttribute('aria-label'))
      .map((it) => it.outerHTML),
  );
  assert.deepEqual(nameless, []);
  await button('Unload').click();
  await button('Load').waitFor();
  assert.deepEqual(errors, []);
});
