// Models and expected ids, as `cargo run --release -p eaglet-tests --example web_fixtures`
// writes them.

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const folder = fileURLToPath(new URL('../../../target/web-fixtures/', import.meta.url));

/** Why there is nothing to compare with; undefined if there is. In CI that is a failure. */
export function lackingFixtures() {
  if (existsSync(`${folder}expected.json`)) return undefined;
  const why = 'there are no fixtures (make them with `cargo run --release -p eaglet-tests --example web_fixtures`)';
  if (process.env.CI) throw new Error(why);
  return why;
}

/** Models with their files and heads; cases with their ids. */
export function expected() {
  return JSON.parse(readFileSync(`${folder}expected.json`, 'utf8'));
}
