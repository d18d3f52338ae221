// The demo as a person uses it; screenshots are kept in target/web-artefacts.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { artefacts, lacking, start } from '../support/browser.mjs';
import { expected, folder, lackingFixtures } from '../support/fixtures.mjs';
import { lackingWasm } from '../support/scratch.mjs';
import { noise } from '../support/server.mjs';

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
  browser.server.add('/slow.gguf', noise(2_000_000), { delay: 20 });
});
after(() => browser?.end());

const shot = (name) => page.screenshot({ path: `${artefacts}${name}.png` });
const button = (name, on = page) => on.getByRole('button', { name, exact: true });

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
  await page.locator('.answer .figure').first().waitFor({ timeout: 60_000 });
  assert.ok((await page.locator('.answer .text').first().innerText()).length > 0);
  assert.match(await page.locator('.answer .figure').first().innerText(), /tokens\/s · τ \d/);
  await message.fill('And why is it red in the evening?');
  await button('Send').click();
  await page.locator('.answer .figure').nth(1).waitFor({ timeout: 60_000 });
  assert.match(await page.locator('.answer .figure').nth(1).innerText(), /\d+ reused/);
  await shot('chat');
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

// What follows is over the stand-in for the module, which guesses two of three words, is
// never too fast and always the same.
describe('whatever the model', { skip }, () => {
  let fake;
  const message = () => fake.getByLabel('Your message');
  const ask = async (text) => {
    await message().fill(text);
    await message().press('Enter');
  };
  before(async () => {
    fake = await browser.context.newPage();
    fake.setDefaultTimeout(10_000);
    fake.on('pageerror', (error) => errors.push(String(error)));
    await fake.goto(browser.server.url('/fake/demo/?model=/slow.gguf&head=&device=none&dtype=q4'));
  });
  after(() => assert.deepEqual(errors, []));

  test('the form is filled from the address of the page', async () => {
    const values = await fake.evaluate(() => ['model', 'head', 'device', 'dtype'].map((name) => document.querySelector(`[name=${name}]`).value));
    assert.deepEqual(values, [browser.server.url('/slow.gguf'), '', 'auto', 'q4']);
    const wrong = await browser.context.newPage();
    wrong.on('pageerror', (error) => errors.push(String(error)));
    await wrong.goto(browser.server.url('/fake/demo/?model=http://&dtype=q8'));
    await wrong.waitForFunction(() => document.querySelector('[name=dtype]').value === 'q8');
    await wrong.close();
  });

  test('loading shows how far it is', async () => {
    await button('Load', fake).click();
    await fake.getByRole('progressbar').waitFor();
    await fake.getByText(/ of 2.0 MB/).waitFor();
    await button('Unload', fake).waitFor();
  });

  test('accepted guesses are marked, each one', async () => {
    await ask('one two three four');
    await fake.locator('.answer .figure').waitFor();
    assert.deepEqual(await fake.locator('.answer mark').allInnerTexts(), ['one', 'two', 'four']);
    assert.equal(await fake.locator('.answer .text').innerText(), 'one two three four');
    assert.deepEqual(await fake.locator('#depths b').allInnerTexts(), ['3 of 4', '1 of 2', '·', '·', '·'], 'few guesses are counted');
  });

  test('an answer can be stopped, and only from its own view', async () => {
    await fake.getByText('Options').click();
    await fake.getByLabel('Tokens at most').fill('2000');
    await fake.getByText('Options').click();
    const both = fake.locator('#race button');
    await ask('ENDLESS SLOW words');
    await fake.locator('.answer mark').nth(3).waitFor();
    assert.ok(await both.isDisabled());
    await button('Stop', fake).click();
    await fake.getByText('Stopped.').waitFor();
    await button('Send', fake).waitFor();
    assert.ok(await both.isEnabled());
  });

  test('a new chat in the middle of an answer knows nothing of the old one', async () => {
    await ask('ENDLESS SLOW words');
    await fake.locator('.answer').nth(2).locator('mark').first().waitFor();
    await button('New chat', fake).click();
    await button('Send', fake).waitFor();
    await ask('alone');
    await fake.locator('.answer .figure').waitFor();
    assert.deepEqual(await fake.locator('.said').allInnerTexts(), ['alone']);
    // The stand-in has kept the old conversation: with it, far more than the role would be reused.
    const summary = await fake.locator('.answer .figure').innerText();
    assert.ok(Number(/(\d+) reused/.exec(summary)?.[1] ?? 0) <= 2, summary);
  });
});
