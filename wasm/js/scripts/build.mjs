// Compiles the package and the demo into wasm/dist, beside the wasm module that
// `cargo xtask web` puts to wasm/dist/wasm. What is packed is wasm/dist itself.

import { execFileSync } from 'node:child_process';
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const here = new URL('..', import.meta.url);
const at = (path) => fileURLToPath(new URL(path, here));
const dist = at('../dist/');

await mkdir(dist, { recursive: true });
for (const name of await readdir(dist)) {
  if (name !== 'wasm') await rm(dist + name, { recursive: true });
}

const tsc = at('node_modules/typescript/bin/tsc');
for (const project of ['.', '../demo']) {
  execFileSync(process.execPath, [tsc, '--project', at(project)], { stdio: 'inherit' });
}

for (const name of ['index.html', 'style.css']) await cp(at(`../demo/${name}`), `${dist}demo/${name}`);
await cp(at('README.md'), `${dist}README.md`);
for (const name of ['LICENSE-APACHE', 'LICENSE-MIT']) await cp(at(`../../${name}`), dist + name);

// Without what only this folder needs.
const { scripts, devDependencies, private: _, ...published } = JSON.parse(await readFile(at('package.json'), 'utf8'));
await writeFile(`${dist}package.json`, `${JSON.stringify(published, null, 2)}\n`);
