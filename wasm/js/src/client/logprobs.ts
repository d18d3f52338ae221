import type { CompletionLogprobs, Logprobs, TokenLogprob } from '../types/chat.js';
import type { Likely } from '../worker/protocol.js';
import type { Settled } from './settling.js';

/** OpenAI's number for a probability of nothing; JSON has no infinity. */
const NEVER = -9999;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text of a token; of one that is no whole characters, its bytes as OpenAI writes them. */
function textOf(bytes: readonly number[], mark: string): string {
  try {
    return decoder.decode(Uint8Array.from(bytes));
  } catch {
    return mark + bytes.map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
  }
}

function entry({ bytes, logprob }: Likely): TokenLogprob {
  return { token: textOf(bytes, ''), logprob: logprob ?? NEVER, bytes };
}

/** The token that ends a turn has no probability, since it is no part of the answer. */
function isTold(token: Settled): token is Settled & Likely {
  return token.bytes !== undefined;
}

/** The log probabilities of tokens; `asked`, where there may be none, or else null then. */
export function chatLogprobs(tokens: readonly Settled[], asked = false): Logprobs | null {
  const content = tokens.filter(isTold).map((token) => ({ ...entry(token), top_logprobs: (token.top ?? []).map(entry) }));
  return content.length > 0 || asked ? { content, refusal: null } : null;
}

/** The same in the shape of OpenAI's older interface. */
export function completionLogprobs(tokens: readonly Settled[], asked = false): CompletionLogprobs | null {
  const told = tokens.filter(isTold);
  if (told.length === 0 && !asked) return null;
  const name = ({ bytes }: Likely) => textOf(bytes, 'bytes:');
  return {
    tokens: told.map(name),
    token_logprobs: told.map((token) => token.logprob ?? NEVER),
    // The likeliest last, so that it stays where two have one text.
    top_logprobs: told.map(({ top }) =>
      Object.fromEntries((top ?? []).map((one) => [name(one), one.logprob ?? NEVER] as const).reverse()),
    ),
    text_offset: told.map((token) => token.offset),
  };
}
