import type { FinishReason, Usage } from '../types/chat.js';
import type { Finish, WireUsage } from '../worker/protocol.js';
import type { WireRequest } from './request.js';

/** The figures of an answer in OpenAI's shape, with ours under `extra`. */
export function usageOf(
  wire: WireUsage,
  finish: Finish,
  { method = 'auto', seed }: WireRequest,
  firstTokenSeconds: number,
): Usage {
  const tokens = Math.max(1, wire.completion_tokens);
  const read = wire.prompt_tokens - wire.reused_tokens;
  return {
    prompt_tokens: wire.prompt_tokens,
    completion_tokens: wire.completion_tokens,
    total_tokens: wire.prompt_tokens + wire.completion_tokens,
    prompt_tokens_details: { cached_tokens: wire.reused_tokens },
    extra: {
      method,
      ...(seed === undefined ? {} : { seed }),
      prefill_tokens_per_s: rate(read, wire.prefill_seconds),
      // The first token is the prompt's.
      decode_tokens_per_s: rate(Math.max(0, wire.completion_tokens - 1), wire.decode_seconds),
      time_to_first_token_s: firstTokenSeconds,
      prefill_s: wire.prefill_seconds,
      decode_s: wire.decode_seconds,
      reused_tokens: wire.reused_tokens,
      rounds: wire.rounds,
      drafted: wire.drafted,
      accepted: wire.accepted,
      tau: wire.tau,
      acceptance_by_depth: wire.accepted_by_depth.map((accepted, depth) =>
        rate(accepted, wire.tried_by_depth[depth] ?? 0),
      ),
      tried_by_depth: wire.tried_by_depth,
      draft_s: wire.draft_seconds,
      verify_s: wire.verify_seconds,
      dispatches_per_token: wire.dispatches / tokens,
      uploads_per_token: wire.uploads / tokens,
      submits_per_token: wire.submits / tokens,
      readbacks_per_token: wire.readbacks / tokens,
      finish,
    },
  };
}

/** OpenAI has no word for a full context. */
export function finishReason(finish: Finish): FinishReason {
  return finish === 'stop' ? 'stop' : 'length';
}

function rate(amount: number, per: number): number {
  return per > 0 ? amount / per : 0;
}
