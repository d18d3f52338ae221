import type { ChatCompletionChunk, Stream, Token, Usage } from 'eaglet';

/** What is known of an answer while it comes. */
export interface Live {
  readonly tokens: number;
  /** Tokens a second since the first one. */
  readonly speed: number;
  /** Tokens for each pass since the first one. */
  readonly tau: number;
}

/** An answer that has come. */
export interface Written {
  readonly text: string;
  readonly ids: readonly number[];
  readonly usage: Usage;
}

/** Writes a streamed answer into `into`, accepted guesses marked. */
export async function write(
  stream: Stream<ChatCompletionChunk>,
  into: HTMLElement,
  onLive: (live: Live) => void,
): Promise<Written> {
  let text = '';
  let begun = 0;
  let rounds = -1;
  let usage: Usage | undefined;
  const tokens: Token[] = [];
  const paint = new Paint(into);
  into.classList.add('writing');
  try {
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      usage = chunk.usage ?? usage;
      if (!chunk.extra) continue;
      tokens.push(...chunk.extra.tokens);
      paint.add(chunk.extra.tokens, text.length);
      if (rounds < 0) begun = performance.now();
      rounds++;
      const after = tokens.length - 1;
      const seconds = (performance.now() - begun) / 1000;
      onLive({ tokens: tokens.length, speed: seconds > 0 ? after / seconds : 0, tau: rounds > 0 ? after / rounds : 0 });
    }
  } finally {
    into.classList.remove('writing');
  }
  paint.end(text.length);
  if (!usage) throw new Error('the stream ended without its usage');
  return { text, ids: tokens.map((token) => token.id), usage };
}

/** Text runs ahead of what is certain while a stop string may begin; the rest waits. */
class Paint {
  private waiting: Token[] = [];
  private painted = 0;
  /** Where text that is not marked goes on. */
  private plain: Text | undefined;

  constructor(private readonly into: HTMLElement) {}

  add(tokens: readonly Token[], certain: number): void {
    this.waiting.push(...tokens);
    this.end(certain);
  }

  /** Paints up to `certain` characters of the answer. */
  end(certain: number): void {
    for (let token = this.waiting[0]; token && this.painted < certain; token = this.waiting[0]) {
      const text = token.text.slice(0, certain - this.painted);
      if (text !== '') this.put(text, token.drafted);
      this.painted += text.length;
      if (text.length < token.text.length) {
        this.waiting[0] = { ...token, text: token.text.slice(text.length) };
        return;
      }
      this.waiting.shift();
    }
  }

  private put(text: string, drafted: boolean): void {
    // A mark is for the word, not for the space before it.
    const space = drafted ? text.length - text.trimStart().length : text.length;
    if (space > 0) this.append(text.slice(0, space));
    if (space === text.length) return;
    // Each guess is a mark of its own, so that a person can count them.
    const mark = document.createElement('mark');
    mark.textContent = text.slice(space);
    this.into.append(mark);
    this.plain = undefined;
  }

  private append(text: string): void {
    if (!this.plain) this.into.append((this.plain = document.createTextNode('')));
    this.plain.appendData(text);
  }
}
