// A scratch project that has the package installed as a person would have it.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const dist = fileURLToPath(new URL('../../dist/', import.meta.url));
/** Our development dependencies. */
export const modules = fileURLToPath(new URL('../../js/node_modules/', import.meta.url));

/** Why the package is not whole; undefined if it is. In CI that is a failure. */
export function lackingWasm() {
  if (existsSync(`${dist}wasm/eaglet_wasm_bg.wasm`)) return undefined;
  const why = 'wasm/dist has no wasm module (make it with `cargo xtask web`)';
  if (process.env.CI) throw new Error(why);
  return why;
}

/** What `npm pack` says that it packs. */
export function packed(folder) {
  const args = folder ? ['pack', '--json', '--pack-destination', folder] : ['pack', '--json', '--dry-run'];
  return JSON.parse(execFileSync('npm', args, { cwd: dist, encoding: 'utf8' }))[0];
}

/** Makes a project of `files`; `end` removes it. */
export async function scratch(files) {
  const folder = await mkdtemp(join(tmpdir(), 'eaglet-scratch-'));
  const { filename } = packed(folder);
  await mkdir(`${folder}/node_modules/eaglet`, { recursive: true });
  execFileSync('tar', ['xzf', filename, '-C', 'node_modules/eaglet', '--strip-components=1'], { cwd: folder });
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(`${folder}/${name}`), { recursive: true });
    await writeFile(`${folder}/${name}`, text);
  }
  /** Runs a program there. */
  const run = (script, ...args) =>
    execFileSync(process.execPath, [script, ...args], { cwd: folder, encoding: 'utf8', stdio: 'pipe', timeout: 120_000 });
  return { folder, run, end: () => rm(folder, { recursive: true, force: true }) };
}
