// `npm test [unit|browser|package]...`: builds, then runs the tests, one file after the
// other: the browser tests need the machine to themselves.

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const tests = fileURLToPath(new URL('../../tests/', import.meta.url));
const kinds = process.argv.length > 2 ? process.argv.slice(2) : ['unit', 'package', 'browser'];

const build = spawnSync(process.execPath, [fileURLToPath(new URL('build.mjs', import.meta.url))], { stdio: 'inherit' });
if (build.status !== 0) process.exit(build.status ?? 1);

const files = kinds.flatMap((kind) =>
  readdirSync(tests + kind)
    .filter((name) => name.endsWith('.test.mjs'))
    .sort()
    .map((name) => `${tests}${kind}/${name}`),
);
const run = spawnSync(process.execPath, ['--test', '--test-concurrency=1', '--test-reporter=spec', ...files], { stdio: 'inherit' });
process.exit(run.status ?? 1);
