import type { Round, WireToken } from '../worker/protocol.js';

/** A token that is part of an answer, and where its text begins in it. */
export type Settled = WireToken & { readonly offset: number };

/**
 * Tells tokens that are part of an answer from those that are not: text that may become a
 * stop string is held back, and what has become one is left out, with its tokens.
 */
export class Settling {
  private waiting: Settled[] = [];
  /** Characters of all tokens, and of the answer. */
  private written = 0;
  private certain = 0;

  /** The tokens, of this round and those before, that have become part of the answer. */
  take({ text, tokens, finish }: Round): Settled[] {
    for (const token of tokens) {
      this.waiting.push({ ...token, offset: this.written });
      this.written += token.text.length;
    }
    this.certain += text.length;
    // What was cut off by a limit is all there.
    const cut = finish !== undefined && finish !== 'stop';
    const held = cut ? -1 : this.waiting.findIndex(({ offset }) => offset >= this.certain);
    return this.waiting.splice(0, held < 0 ? this.waiting.length : held);
  }
}
