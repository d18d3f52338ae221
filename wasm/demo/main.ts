// The demo: load a model, talk to it, see which words were guessed ahead.

import { byId } from './format.js';
import { showKept } from './kept.js';
import { prefill } from './setup.js';
import { offerMethods } from './state.js';

prefill();
offerMethods(undefined);
void showKept();

for (const choice of document.querySelectorAll<HTMLInputElement>('[name=view]')) {
  choice.addEventListener('change', () => {
    for (const view of ['chat', 'compare']) byId(view).hidden = view !== choice.value;
  });
}
