import type { Message } from 'eaglet';
import { showLive, showUsage, summary } from './figures.js';
import { byId, element, find, words } from './format.js';
import { occupy, onOccupied, release, request, state } from './state.js';
import { write } from './writer.js';

const log = byId('log');
const form = byId<HTMLFormElement>('composer');
const input = find<HTMLTextAreaElement>(form, 'textarea');
const send = find<HTMLButtonElement>(form, 'button.main');
let messages: Message[] = [];
let running: AbortController | undefined;

/** Makes the chat usable, or not. */
export function enableChat(usable: boolean): void {
  input.disabled = send.disabled = byId<HTMLButtonElement>('fresh').disabled = !usable;
  const lead = document.getElementById('lead');
  if (lead && usable) lead.textContent = 'Ask it something.';
  if (usable) input.focus();
}

onOccupied(() => (send.disabled = !state.engine || (state.stop !== undefined && !running)));

form.addEventListener('submit', (event) => {
  event.preventDefault();
  // While an answer comes here, the button stops it.
  if (running) running.abort();
  else if (!state.stop) void ask(input.value.trim());
});

input.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!running) form.requestSubmit();
});

byId('fresh').addEventListener('click', () => {
  running?.abort();
  messages = [];
  log.replaceChildren();
  input.focus();
});

async function ask(text: string): Promise<void> {
  const { engine } = state;
  if (!engine || text === '') return;
  const stop = (running = new AbortController());
  occupy(stop);
  const asked: Message[] = [...messages, { role: 'user', content: text }];
  const answer = element('div', 'answer');
  const body = element('div', 'text');
  answer.append(body);
  document.getElementById('empty')?.remove();
  log.append(element('p', 'said', text), answer);
  input.value = '';
  busy(true);
  follow();
  try {
    const stream = await engine.chat.completions.create(request(asked, stop.signal));
    const written = await write(stream, body, (live) => {
      showLive(live);
      follow();
    });
    if (body.isConnected) messages = [...asked, { role: 'assistant', content: written.text }];
    showUsage(written.usage);
    answer.append(element('span', 'figure small', summary(written.usage)));
  } catch (error) {
    const told = stop.signal.aborted ? 'Stopped.' : words(error);
    answer.append(element('span', 'figure small', told));
    // What the person saw stays part of the conversation, unless a new one has begun.
    if (body.isConnected && body.textContent) messages = [...asked, { role: 'assistant', content: body.textContent }];
  } finally {
    running = undefined;
    release(stop);
    busy(false);
    follow();
  }
}

function busy(writing: boolean): void {
  send.textContent = writing ? 'Stop' : 'Send';
  input.required = !writing;
  log.setAttribute('aria-busy', String(writing));
}

/** Keeps the end in sight, unless the person has scrolled away from it. */
function follow(): void {
  if (log.scrollHeight - log.scrollTop - log.clientHeight < 160) log.scrollTop = log.scrollHeight;
}
