import type { Usage } from 'eaglet';
import { byId, element, percent } from './format.js';
import type { Live } from './writer.js';

/** Depths that are shown even if nothing was guessed so far ahead. */
const COLUMNS = 5;

/** Fewer guesses than this are counted: a share of them would say more than is known. */
const FEW = 10;

/** Shows an answer's figures while it comes. */
export function showLive({ speed, tau }: Live): void {
  byId('speed').textContent = speed > 0 ? speed.toFixed(speed < 100 ? 1 : 0) : '–';
  byId('tau').textContent = tau > 0 ? tau.toFixed(2) : '–';
}

/** Shows what an answer cost. */
export function showUsage({ extra }: Usage): void {
  showLive({ tokens: 0, speed: extra.decode_tokens_per_s, tau: extra.tau });
  const depths = extra.tried_by_depth.slice(0, 6).map((tried, depth) => {
    const share = extra.acceptance_by_depth[depth] ?? 0;
    const few = tried < FEW;
    const told = tried === 0 ? '·' : few ? `${Math.round(share * tried)} of ${tried}` : percent(share);
    return { share: few ? 0 : share, told };
  });
  byId('ahead').hidden = depths.length === 0;
  const columns = Math.max(depths.length, COLUMNS);
  const bars = Array.from({ length: columns }, (_, depth) => {
    const { share, told } = depths[depth] ?? { share: 0, told: '·' };
    const column = element('span', '');
    column.style.setProperty('--share', `${Math.round(100 * share)}%`);
    column.append(element('i', ''), element('b', '', told), `${depth + 1}`);
    return column;
  });
  const chart = byId('depths');
  chart.replaceChildren(...bars);
  const told = depths.map((one, depth) => `${depth + 1} ahead: ${one.told}`).join(', ');
  chart.setAttribute('aria-label', `Right guesses, ${told}`);
}

/** One line under an answer. */
export function summary({ completion_tokens, extra }: Usage): string {
  const parts = [
    `${completion_tokens} tokens`,
    `${extra.decode_tokens_per_s.toFixed(1)} tokens/s`,
    `τ ${extra.tau.toFixed(2)}`,
    `${percent(extra.accepted / Math.max(1, completion_tokens))} guessed`,
    `first after ${extra.time_to_first_token_s.toFixed(2)} s`,
  ];
  if (extra.reused_tokens > 0) parts.push(`${extra.reused_tokens} reused`);
  return parts.join(' · ');
}
