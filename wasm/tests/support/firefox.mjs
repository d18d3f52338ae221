// Firefox without a driver: it opens a page that runs a script and posts what it found.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where Debian puts it; `FIREFOX` names another one. */
const EXECUTABLE = process.env.FIREFOX ?? '/usr/bin/firefox-esr';

const PREFERENCES = {
  'browser.aboutwelcome.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'app.update.enabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  // Where WebGPU is still an option, and on drivers that play a GPU.
  'dom.webgpu.enabled': true,
  'dom.webgpu.workers.enabled': true,
  'gfx.webgpu.ignore-blocklist': true,
};

/** Why Firefox cannot run here; undefined if it can. In CI that is a failure. */
export function lackingFirefox() {
  if (existsSync(EXECUTABLE)) return undefined;
  const why = `${EXECUTABLE} is missing (Debian: apt-get install firefox-esr)`;
  if (process.env.CI) throw new Error(why);
  return why;
}

/** Runs `firefox_NAME.js` in a page of the server, and returns what it found. */
export async function report(server, name, { seconds }) {
  const profile = await mkdtemp(join(tmpdir(), 'eaglet-firefox-'));
  const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref("${name}", ${value});\n`);
  await writeFile(`${profile}/user.js`, lines.join(''));
  // A process group of its own, so that all its processes can be ended.
  const firefox = spawn(EXECUTABLE, ['--headless', '--no-remote', '--profile', profile, server.url(`/tests/support/firefox.html#${name}`)], {
    detached: true,
    stdio: 'ignore',
    env: { ...process.env, HOME: profile, XDG_RUNTIME_DIR: profile },
  });
  try {
    const late = new Promise((_, reject) => setTimeout(reject, seconds * 1000, new Error(`no report in ${seconds} seconds`)).unref());
    const failed = new Promise((_, reject) => firefox.once('error', reject));
    return await Promise.race([server.posted('/report'), late, failed]);
  } finally {
    const ended = new Promise((go) => firefox.once('exit', go));
    try {
      process.kill(-firefox.pid, 'SIGKILL');
      await ended;
    } catch {
      // It has ended by itself.
    }
    await rm(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }
}
