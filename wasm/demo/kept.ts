import { Eaglet } from 'eaglet';
import { byId, element, megabytes } from './format.js';

/** Lists the files that this browser keeps, each with a button that removes it. */
export async function showKept(): Promise<void> {
  const files = await Eaglet.cache.list();
  const large = files.filter((file) => file.bytes > 1e5);
  const items = large.map((file) => {
    const name = readable(new URL(file.url).pathname.split('/').at(-1) ?? file.url);
    const item = element('li', '');
    const title = element('b', '', name);
    title.title = file.url;
    const remove = element('button', '', 'Remove');
    remove.setAttribute('aria-label', `Remove ${name}`);
    remove.addEventListener('click', async () => {
      try {
        await Eaglet.cache.delete(file.url);
        await showKept();
      } catch (error) {
        item.append(element('span', 'hint', error instanceof Error ? error.message : String(error)));
      }
    });
    const size = file.complete ? megabytes(file.size) : `${megabytes(file.bytes)} of ${megabytes(file.size)}, interrupted`;
    item.append(title, remove, element('span', 'figure small', size));
    return item;
  });
  byId('kept').replaceChildren(...(items.length > 0 ? items : [element('li', 'hint', 'Nothing yet.')]));
}

/** A percent sign may be a part of a name. */
function readable(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
