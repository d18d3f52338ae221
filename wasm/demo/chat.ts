import type { Message } from 'eaglet';
import { showLive, showUsage, summary } from './figures.js';
import { byId, element, find, words } from './format.js';
import { request, state } from './state.js';
import { write } from './writer.js';

const log = byId('log');
const form = byId<HTMLFormElement>('composer');
const input = find<HTMLTextAreaElement>(form, 'textarea');
const send = find<HTMLButtonElement>(form, 'button.main');
let messages: Message[] = [];

/** Makes the chat usable, or not. */
export function enableChat(usable: boolean): void {
  input.disabled = send.disabled = byId<HTMLButtonElement>('fresh').disabled = !usable;
  const lead = document.getElementById('lead');
  if (lead && usable) lead.textContent = 'Ask it something.';
  if (usable) input.focus();
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  // While an answer comes, the button stops it.
  if (state.stop) state.stop.abort();
  else void ask(input.value.trim());
});

input.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!state.stop) form.requestSubmit();
});

byId('fresh').addEventListener('click', () => {
  state.stop?.abort();
  messages = [];
  log.replaceChildren();
  input.focus();
});

async function ask(text: string): Promise<void> {
  const { engine } = state;
  if (!engine || text === '') return;
  const stop = (state.stop = new AbortController());
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
    messages = [...asked, { role: 'assistant', content: written.text }];
    showUsage(written.usage);
    answer.append(element('span', 'figure small', summary(written.usage)));
  } catch (error) {
    const told = stop.signal.aborted ? 'Stopped.' : words(error);
    answer.append(element('span', 'figure small', told));
    // What the person saw stays part of the conversation.
    if (body.textContent) messages = [...asked, { role: 'assistant', content: body.textContent }];
  } finally {
    state.stop = undefined;
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
