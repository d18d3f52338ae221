// `npm test [-- KIND...]`: builds, then runs the tests, one file after the other: the browsers'
// need the machine to themselves.

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const tests = fileURLToPath(new URL('../../tests/', import.meta.url));
const known = ['node', 'unit', 'package', 'browser', 'firefox'];
const kinds = process.argv.length > 2 ? process.argv.slice(2) : known;
const other = kinds.filter((kind) => !known.includes(kind));
if (other.length > 0) {
  console.error(`there are no ${other.join(', ')} tests, but ${known.join(', ')}`);
  process.exit(2);
}

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
