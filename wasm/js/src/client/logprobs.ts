import type { CompletionLogprobs, Logprobs, TokenLogprob } from '../types/chat.js';
import type { WireToken } from '../worker/protocol.js';

const encoder = new TextEncoder();

function entry({ text, logprob }: { text: string; logprob?: number }): TokenLogprob {
  return { token: text, logprob: logprob ?? 0, bytes: [...encoder.encode(text)] };
}

/** The log probabilities of tokens; null if none were asked for. */
export function chatLogprobs(tokens: readonly WireToken[]): Logprobs | null {
  const told = tokens.filter((token) => token.logprob !== undefined);
  if (told.length === 0) return null;
  const content = told.map((token) => ({ ...entry(token), top_logprobs: (token.top ?? []).map(entry) }));
  return { content, refusal: null };
}

/** The same in the shape of OpenAI's older interface. */
export function completionLogprobs(tokens: readonly WireToken[]): CompletionLogprobs | null {
  const told = tokens.filter((token) => token.logprob !== undefined);
  if (told.length === 0) return null;
  return {
    tokens: told.map((token) => token.text),
    token_logprobs: told.map((token) => token.logprob ?? 0),
    top_logprobs: told.map((token) =>
      Object.fromEntries((token.top ?? []).map(({ text, logprob }) => [text, logprob])),
    ),
  };
}
