import type { Method } from 'eaglet';
import { showLive, showUsage, summary } from './figures.js';
import { byId, find, words } from './format.js';
import { method, occupy, onOccupied, release, request, state } from './state.js';
import { write, type Written } from './writer.js';

const form = byId<HTMLFormElement>('race');
const input = find<HTMLTextAreaElement>(form, 'textarea');
const run = find<HTMLButtonElement>(form, 'button.main');
const verdict = byId('verdict');
let running: AbortController | undefined;
const lanes = [...document.querySelectorAll<HTMLElement>('.lane')];

/** Makes the comparison usable, or not. */
export function enableCompare(usable: boolean): void {
  input.disabled = run.disabled = !usable;
}

onOccupied(() => (run.disabled = !state.engine || (state.stop !== undefined && !running)));

form.addEventListener('submit', (event) => {
  event.preventDefault();
  if (running) running.abort();
  else if (!state.stop) void race(input.value.trim());
});

/** One after the other: at the same time each would take the processor from the other. */
async function race(text: string): Promise<void> {
  if (!state.engine || text === '') return;
  const stop = (running = new AbortController());
  occupy(stop);
  run.textContent = 'Stop';
  verdict.textContent = '';
  lanes.forEach(clear);
  try {
    const drafting: Method = method() === 'plain' ? 'auto' : method();
    const plain = await drive(lanes[0], text, 'plain', stop.signal);
    // The same draws, if there are any.
    const drafted = await drive(lanes[1], text, drafting, stop.signal, plain.usage.extra.seed);
    judge(plain, drafted);
  } catch (error) {
    verdict.textContent = stop.signal.aborted ? 'Stopped.' : words(error);
  } finally {
    running = undefined;
    release(stop);
    run.textContent = 'Run both';
  }
}

function clear(lane: HTMLElement): void {
  find(lane, '[data-text]').replaceChildren();
  find(lane, '[data-meter]').textContent = '';
  find(lane, '.track i').style.width = '0';
}

async function drive(
  lane: HTMLElement | undefined,
  text: string,
  with_: Method,
  signal: AbortSignal,
  seed?: number,
): Promise<Written> {
  if (!lane || !state.engine) throw new Error('there is no model');
  const meter = find(lane, '[data-meter]');
  const wanted = { ...request([{ role: 'user', content: text }], signal), method: with_, ...(seed === undefined ? {} : { seed }) };
  const stream = await state.engine.chat.completions.create(wanted);
  const written = await write(stream, find(lane, '[data-text]'), (live) => {
    showLive(live);
    meter.textContent = `${live.speed.toFixed(1)} tokens/s`;
    find(lane, '.track i').style.width = `${(100 * live.tokens) / (wanted.max_tokens ?? 256)}%`;
  });
  meter.textContent = summary(written.usage).split(' · ').slice(1, 3).join(' · ');
  showUsage(written.usage);
  return written;
}

function judge(plain: Written, drafted: Written): void {
  const same = plain.ids.length === drafted.ids.length && plain.ids.every((id, i) => id === drafted.ids[i]);
  const speeds = [plain, drafted].map(({ usage }) => usage.extra.decode_tokens_per_s) as [number, number];
  const times = speeds[1] / Math.max(speeds[0], 1e-9);
  const fastest = Math.max(...speeds, 1e-9);
  lanes.forEach((lane, i) => (find(lane, '.track i').style.width = `${(100 * (speeds[i] ?? 0)) / fastest}%`));
  const equal = document.createElement('b');
  equal.textContent = same ? 'The same text, token for token' : 'The texts differ';
  const passes = `${drafted.usage.extra.rounds} passes of the model instead of ${plain.usage.extra.rounds}`;
  equal.className = !same ? 'bad' : times >= 1 ? 'good' : '';
  const pays = times >= 1 ? '.' : ': guessing does not pay here.';
  verdict.replaceChildren(equal, `: ${passes}, ${times.toFixed(2)} times the speed${pays}`);
}
