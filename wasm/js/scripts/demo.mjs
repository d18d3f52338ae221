// `npm run demo -- MODEL.gguf [HEAD.gguf]` serves the demo with files of this machine.

import { existsSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { startServer } from '../../tests/support/server.mjs';

const dist = fileURLToPath(new URL('../../dist/', import.meta.url));
if (!existsSync(`${dist}wasm/eaglet_wasm_bg.wasm`)) {
  console.error('wasm/dist has no wasm module: make it with `cargo xtask web`');
  process.exit(1);
}
const server = await startServer();
server.mount('/', dist);
const query = new URLSearchParams();
for (const [i, name] of ['model', 'head'].entries()) {
  const given = process.argv[2 + i];
  if (given === undefined) continue;
  const path = resolve(process.env.INIT_CWD ?? '.', given);
  if (!existsSync(path)) {
    console.error(`${path}: there is no such file`);
    process.exit(1);
  }
  server.mount(`/${name}/`, dirname(path));
  query.set(name, `/${name}/${basename(path)}`);
}
console.log(server.url(`/demo/?${query}`));
