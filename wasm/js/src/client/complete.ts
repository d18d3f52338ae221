import type { Completion, CompletionLogprobs, CompletionRequest, FinishReason } from '../types/chat.js';
import type { Round } from '../worker/protocol.js';
import { generate, streamed, type Answer } from './answer.js';
import { newId, now, plain, type Head } from './chat.js';
import type { Connection } from './connection.js';
import { completionLogprobs } from './logprobs.js';
import { completionRequest } from './request.js';
import type { Settled } from './settling.js';
import type { Stream } from './stream.js';
import { finishReason } from './usage.js';

/** Continues a text, whole or as a stream. */
export async function complete(
  connection: Connection,
  model: string,
  request: CompletionRequest,
): Promise<Completion | Stream<Completion>> {
  const wire = completionRequest(request);
  const head = { id: newId('cmpl'), created: now(), model };
  if (request.stream) {
    const shape = new PieceShape(head, request.stream_options?.include_usage === true);
    return streamed(connection, wire, request.signal, shape);
  }
  const { text, tokens, finish, usage } = await generate(connection, wire, request.signal);
  return { ...piece(head, text, completionLogprobs(tokens, wire.logprobs !== undefined), finishReason(finish)), usage };
}

function piece(
  head: Head,
  text: string,
  logprobs: CompletionLogprobs | null,
  finish_reason: FinishReason | null,
): Completion {
  const choice = { index: 0, text, logprobs, finish_reason } as const;
  return { ...head, object: 'text_completion', choices: [choice] };
}

class PieceShape {
  constructor(
    private readonly head: Head,
    private readonly withUsage: boolean,
  ) {}

  opening(): Completion[] {
    return [];
  }

  round({ text, tokens }: Round, settled: readonly Settled[]): Completion {
    return { ...this.piece(text, settled, null), extra: { tokens: plain(tokens) } };
  }

  closing({ finish, usage }: Answer): Completion[] {
    const last = this.piece('', [], finishReason(finish));
    return this.withUsage ? [last, { ...last, choices: [], usage }] : [last];
  }

  private piece(text: string, tokens: readonly Settled[], finish: FinishReason | null): Completion {
    const one = piece(this.head, text, completionLogprobs(tokens), finish);
    return this.withUsage ? { ...one, usage: null } : one;
  }
}
