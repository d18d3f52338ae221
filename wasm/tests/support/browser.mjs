// One Chromium for a test file, under a hard limit of time; its processes are ended
// whatever happens.

import { createRequire } from 'node:module';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { startServer } from './server.mjs';

const { chromium } = createRequire(new URL('../../js/', import.meta.url))('playwright-core');

/** Where Debian puts it; `CHROMIUM` names another one. */
const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
/** With these, headless Chromium offers WebGPU on machines without a GPU. */
const FLAGS = [
  '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

export const dist = fileURLToPath(new URL('../../dist/', import.meta.url));
export const artefacts = fileURLToPath(new URL('../../../target/web-artefacts/', import.meta.url));

/** Why browser tests cannot run here; undefined if they can. In CI that is a failure. */
export function lacking() {
  if (existsSync(EXECUTABLE)) return undefined;
  const why = `${EXECUTABLE} is missing (Debian: apt-get install chromium)`;
  if (process.env.CI) throw new Error(why);
  return why;
}

/** A browser and a server: `/` is the package, `/fake/` the package over the stand-in module. */
export async function start({ seconds }) {
  const profile = await mkdtemp(join(tmpdir(), 'eaglet-chromium-'));
  const server = await startServer();
  server.mount('/', dist);
  server.mount('/fake/', dist);
  server.mount('/tests/', fileURLToPath(new URL('../', import.meta.url)));
  server.mount('/fake/wasm/', fileURLToPath(new URL('../support/fake_wasm/', import.meta.url)));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: EXECUTABLE,
    headless: true,
    chromiumSandbox: false,
    handleSIGINT: true,
    ignoreDefaultArgs: ['--headless', '--headless=old', '--disable-gpu', '--enable-unsafe-swiftshader'],
    args: ['--headless=new', ...FLAGS],
    viewport: { width: 1280, height: 860 },
  });
  const end = async () => {
    clearTimeout(deadline);
    // A browser whose GPU process died may never close by itself.
    const closed = await Promise.race([context.close().then(() => true), new Promise((late) => setTimeout(late, 10_000))]);
    if (!closed) killAll(profile);
    await server.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  const deadline = setTimeout(() => {
    console.error(`the browser ran for ${seconds} seconds: it is ended`);
    killAll(profile);
    process.exit(1);
  }, seconds * 1000);
  return { context, server, end };
}

/** Ends the processes of this profile, and no others. */
function killAll(profile) {
  for (const pid of processes(profile)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended meanwhile.
    }
  }
}

function processes(profile) {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(`--user-data-dir=${profile}`);
    } catch {
      return false;
    }
  }).map(Number);
}

/** A page with the package at `prefix`; what it logs as an error is told. */
export async function open(context, server, prefix = '/fake/') {
  const page = await context.newPage();
  page.on('pageerror', (error) => console.error('page:', error));
  page.on('console', (message) => message.type() === 'error' && console.error('console:', message.text()));
  await page.goto(server.url('/tests/support/blank.html'));
  await page.evaluate(async (address) => {
    Object.assign(globalThis, await import(address));
  }, server.url(`${prefix}index.js`));
  return page;
}
