import type { CompletionLogprobs, Logprobs, TokenLogprob } from '../types/chat.js';
import type { WireToken } from '../worker/protocol.js';

/** OpenAI's number for a probability of nothing; JSON has no infinity. */
const NEVER = -9999;

const encoder = new TextEncoder();

interface Likely {
  readonly text: string;
  readonly logprob?: number | null;
}

function entry({ text, logprob }: Likely): TokenLogprob {
  // Bytes that make no character by themselves have become the sign of that.
  const bytes = text.includes('\ufffd') ? null : [...encoder.encode(text)];
  return { token: text, logprob: logprob ?? NEVER, bytes };
}

function told(tokens: readonly WireToken[]): readonly WireToken[] {
  return tokens.filter((token) => token.logprob !== undefined);
}

/** The log probabilities of tokens; null if none were asked for. */
export function chatLogprobs(tokens: readonly WireToken[]): Logprobs | null {
  const content = told(tokens).map((token) => ({ ...entry(token), top_logprobs: (token.top ?? []).map(entry) }));
  return content.length === 0 ? null : { content, refusal: null };
}

/** The same in the shape of OpenAI's older interface. */
export function completionLogprobs(tokens: readonly WireToken[]): CompletionLogprobs | null {
  const chosen = told(tokens);
  if (chosen.length === 0) return null;
  return {
    tokens: chosen.map((token) => token.text),
    token_logprobs: chosen.map((token) => token.logprob ?? NEVER),
    top_logprobs: chosen.map(({ top }) =>
      Object.fromEntries((top ?? []).map(({ text, logprob }) => [text, logprob ?? NEVER])),
    ),
  };
}
