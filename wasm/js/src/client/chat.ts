import type { ChatCompletion, ChatCompletionChunk, ChatDelta, ChatRequest, FinishReason } from '../types/chat.js';
import type { Round, WireToken } from '../worker/protocol.js';
import { generate, streamed, type Answer } from './answer.js';
import type { Connection } from './connection.js';
import { chatLogprobs } from './logprobs.js';
import { chatRequest } from './request.js';
import type { Settled } from './settling.js';
import type { Stream } from './stream.js';
import { finishReason } from './usage.js';

/** `engine.chat.completions`. */
export class ChatCompletions {
  /** @internal */
  constructor(
    private readonly connection: Connection,
    private readonly model: string,
  ) {}

  /** Answers a conversation. With `stream: true` the answer comes in pieces. */
  create(request: ChatRequest & { readonly stream: true }): Promise<Stream<ChatCompletionChunk>>;
  create(request: ChatRequest & { readonly stream?: false | null }): Promise<ChatCompletion>;
  create(request: ChatRequest): Promise<ChatCompletion | Stream<ChatCompletionChunk>>;
  async create(request: ChatRequest): Promise<ChatCompletion | Stream<ChatCompletionChunk>> {
    const wire = chatRequest(request);
    const head = { id: newId('chatcmpl'), created: now(), model: this.model };
    if (request.stream) {
      const shape = new ChunkShape(head, request.stream_options?.include_usage === true);
      return streamed(this.connection, wire, request.signal, shape);
    }
    const { text, tokens, finish, usage } = await generate(this.connection, wire, request.signal);
    const choice = {
      index: 0,
      message: { role: 'assistant', content: text, refusal: null },
      logprobs: chatLogprobs(tokens, wire.logprobs !== undefined),
      finish_reason: finishReason(finish),
    } as const;
    return { ...head, object: 'chat.completion', choices: [choice], usage };
  }
}

/** What all pieces of an answer share. */
export interface Head {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

class ChunkShape {
  constructor(
    private readonly head: Head,
    private readonly withUsage: boolean,
  ) {}

  opening(): ChatCompletionChunk[] {
    return [this.chunk({ role: 'assistant', content: '' }, null)];
  }

  round({ text, tokens }: Round, settled: readonly Settled[]): ChatCompletionChunk {
    return { ...this.chunk({ content: text }, null, settled), extra: { tokens: plain(tokens) } };
  }

  closing({ finish, usage }: Answer): ChatCompletionChunk[] {
    const last = this.chunk({}, finishReason(finish));
    return this.withUsage ? [last, { ...last, choices: [], usage }] : [last];
  }

  private chunk(
    delta: ChatDelta,
    finish_reason: FinishReason | null,
    tokens: readonly Settled[] = [],
  ): ChatCompletionChunk {
    const choice = { index: 0, delta, logprobs: chatLogprobs(tokens), finish_reason } as const;
    const chunk = { ...this.head, object: 'chat.completion.chunk', choices: [choice] } as const;
    return this.withUsage ? { ...chunk, usage: null } : chunk;
  }
}

/** Tokens without their probabilities, which have a place of their own. */
export function plain(tokens: readonly WireToken[]) {
  return tokens.map(({ id, text, drafted }) => ({ id, text, drafted }));
}

export function newId(kind: string): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `${kind}-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

export function now(): number {
  return Math.floor(Date.now() / 1000);
}
