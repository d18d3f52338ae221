/** What drafts tokens. The text is the same with each; only the time differs. */
export type Method = 'auto' | 'plain' | 'ngram' | 'eagle1' | 'eagle2' | 'eagle3' | 'lookahead';

/** A part of a message; only text can be read. */
export interface TextPart {
  readonly type: 'text';
  readonly text: string;
}

/** A message of a conversation. */
export interface Message {
  /** `developer` is read as `system`. */
  readonly role: 'system' | 'developer' | 'user' | 'assistant';
  readonly content: string | readonly TextPart[];
}

/** Sampling and stopping, shared by chats and completions. */
export interface Sampling {
  /** 0 is greedy. Default 0. */
  readonly temperature?: number | null;
  /** Keep the likeliest tokens that together have this probability. */
  readonly top_p?: number | null;
  /** Keep this many of the likeliest tokens. */
  readonly top_k?: number | null;
  /** Keep tokens with at least this share of the likeliest one's probability. */
  readonly min_p?: number | null;
  /** From 0 on. Draws are a function of it and the position alone. Default: drawn for each answer. */
  readonly seed?: number | null;
  /** Up to 16 strings that end the answer; they are not part of it. */
  readonly stop?: string | readonly string[] | null;
  readonly presence_penalty?: number | null;
  readonly frequency_penalty?: number | null;
  /** 1 is none. */
  readonly repetition_penalty?: number | null;
  /** Added to the logits of tokens, by id, -100 to 100. */
  readonly logit_bias?: Readonly<Record<string, number>> | null;
  /** Default `auto`. */
  readonly method?: Method;
  /** Stops the answer; what was generated stays in the cache for the next turn. */
  readonly signal?: AbortSignal;
}

interface Shared extends Sampling {
  readonly max_tokens?: number | null;
  /** Only one answer is generated. */
  readonly n?: 1 | null;
  readonly stream_options?: { readonly include_usage?: boolean } | null;
  /** Accepted and ignored: the engine is the model. */
  readonly model?: string;
  /** Accepted and ignored. */
  readonly user?: string;
}

/** Answers are text. */
export interface TextFormat {
  readonly type: 'text';
}

/** A request of `engine.chat.completions.create`. */
export interface ChatRequest extends Shared {
  readonly messages: readonly Message[];
  readonly stream?: boolean | null;
  /** The newer name of `max_tokens`. */
  readonly max_completion_tokens?: number | null;
  readonly logprobs?: boolean | null;
  /** 0 to 20; needs `logprobs`. */
  readonly top_logprobs?: number | null;
  readonly response_format?: TextFormat | null;
}

/** A request of `engine.complete`. */
export interface CompletionRequest extends Shared {
  readonly prompt: string;
  readonly stream?: boolean | null;
  /** The chosen token and so many of the likeliest, 0 to 20. */
  readonly logprobs?: number | null;
}

/** A token of an answer. */
export interface Token {
  readonly id: number;
  readonly text: string;
  /** Whether it was drafted, and so came without a pass of its own. */
  readonly drafted: boolean;
}

/** Figures of one answer, beyond OpenAI's. */
export interface UsageExtra {
  /** What was asked to draft. */
  readonly method: Method;
  /** With it the same request gives the same answer; absent where a greedy request gave none. */
  readonly seed?: number;
  readonly prefill_tokens_per_s: number;
  /** Of the tokens after the first, which the prompt's pass gives. */
  readonly decode_tokens_per_s: number;
  /** From the request on: the answers before it and the prompt are waited for. */
  readonly time_to_first_token_s: number;
  readonly prefill_s: number;
  readonly decode_s: number;
  /** Tokens of the prompt that were still known from the turn before. */
  readonly reused_tokens: number;
  /** Passes of the model. */
  readonly rounds: number;
  /** Tokens drafted and verified. */
  readonly drafted: number;
  readonly accepted: number;
  /** Tokens for each pass of the model. */
  readonly tau: number;
  /** Accepted of those tried, by depth in the tree, first drafted token first. */
  readonly acceptance_by_depth: readonly number[];
  /** How many were tried at each depth: of few, a share says little. */
  readonly tried_by_depth: readonly number[];
  readonly draft_s: number;
  readonly verify_s: number;
  /** Kernels that the GPU was asked to run; 0 on the processor, as the next three. */
  readonly dispatches_per_token: number;
  /** Buffers that were copied to the GPU. */
  readonly uploads_per_token: number;
  /** Batches of work that the GPU's queue was handed. */
  readonly submits_per_token: number;
  /** Waits for something to come back. */
  readonly readbacks_per_token: number;
  /** `context`: the context is full; OpenAI's shape calls it `length`. */
  readonly finish: 'stop' | 'length' | 'context';
}

/** Tokens counted and time spent. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
  readonly extra: UsageExtra;
}

export type FinishReason = 'stop' | 'length';

/** The probability of a token, as a natural logarithm; -9999 stands for none at all. */
export interface TokenLogprob {
  readonly token: string;
  readonly logprob: number;
  /** Of UTF-8. Where a character lies across tokens, `token` spells them: `\xc3`. */
  readonly bytes: readonly number[];
}

export interface ChosenLogprob extends TokenLogprob {
  readonly top_logprobs: readonly TokenLogprob[];
}

export interface Logprobs {
  readonly content: readonly ChosenLogprob[];
  readonly refusal: null;
}

/** A whole answer. */
export interface ChatCompletion {
  readonly id: string;
  readonly object: 'chat.completion';
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
  readonly choices: readonly [
    {
      readonly index: 0;
      readonly message: { readonly role: 'assistant'; readonly content: string; readonly refusal: null };
      readonly logprobs: Logprobs | null;
      readonly finish_reason: FinishReason;
    },
  ];
  readonly usage: Usage;
}

/** What a chunk adds to an answer. */
export interface ChatDelta {
  readonly role?: 'assistant';
  readonly content?: string;
}

/** A piece of a streamed answer: one round, which may hold several tokens. */
export interface ChatCompletionChunk {
  readonly id: string;
  readonly object: 'chat.completion.chunk';
  readonly created: number;
  readonly model: string;
  /** Empty in the chunk that carries the usage. */
  readonly choices: readonly {
    readonly index: 0;
    readonly delta: ChatDelta;
    readonly logprobs: Logprobs | null;
    readonly finish_reason: FinishReason | null;
  }[];
  /** With `include_usage`: `null` but in the last chunk. */
  readonly usage?: Usage | null;
  /** The tokens of this round. `content` lags behind them while a stop string may begin. */
  readonly extra?: { readonly tokens: readonly Token[] };
}

/** A whole completion. */
export interface Completion {
  readonly id: string;
  readonly object: 'text_completion';
  readonly created: number;
  readonly model: string;
  readonly choices: readonly {
    readonly index: 0;
    readonly text: string;
    readonly logprobs: CompletionLogprobs | null;
    readonly finish_reason: FinishReason | null;
  }[];
  /** In a stream with `include_usage`: `null` but in the last piece. */
  readonly usage?: Usage | null;
  readonly extra?: { readonly tokens: readonly Token[] };
}

/** Log probabilities in the shape of OpenAI's older interface. */
export interface CompletionLogprobs {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly number[];
  readonly top_logprobs: readonly Readonly<Record<string, number>>[];
  /** Where each token begins in the text, in UTF-16 units as JavaScript counts. */
  readonly text_offset: readonly number[];
}
