import { InvalidRequest } from '../errors.js';
import type { ChatRequest, CompletionRequest, Message, Method } from '../types/chat.js';

/** A request as the wasm module reads it. */
export interface WireRequest {
  readonly messages?: readonly { readonly role: string; readonly content: string }[];
  readonly prompt?: string;
  readonly method?: Method;
  readonly max_tokens?: number;
  readonly stop?: readonly string[];
  readonly logprobs?: number;
  readonly seed?: number;
  readonly [sampling: string]: unknown;
}

/** Passed on as they are; the engine checks their values. */
const SAMPLING = [
  'method', 'temperature', 'top_p', 'top_k', 'min_p', 'seed', 'presence_penalty',
  'frequency_penalty', 'repetition_penalty', 'logit_bias',
] as const;

/** Changes nothing in the answer. */
const HARMLESS = ['model', 'user', 'store', 'metadata', 'service_tier', 'stream', 'stream_options', 'signal'];

const COMMON = [...SAMPLING, ...HARMLESS, 'max_tokens', 'n', 'stop', 'logprobs'];
const CHAT = new Set([...COMMON, 'messages', 'max_completion_tokens', 'top_logprobs', 'response_format']);
const COMPLETION = new Set([...COMMON, 'prompt']);

const ROLES = new Set(['system', 'user', 'assistant']);

/** Reads a chat request; throws `InvalidRequest` for what would silently be left out. */
export function chatRequest(request: ChatRequest): WireRequest {
  known(request, CHAT);
  if (!Array.isArray(request.messages) || request.messages.length === 0) {
    throw new InvalidRequest('messages must be a list of at least one message');
  }
  const top = request.top_logprobs ?? undefined;
  if (top !== undefined && !request.logprobs) throw new InvalidRequest('top_logprobs needs logprobs: true');
  const logprobs = request.logprobs ? count('top_logprobs', top ?? 0, 20) : undefined;
  const { response_format: format } = request;
  if (format && format.type !== 'text') throw new InvalidRequest('response_format can only be { type: "text" }');
  const newer = request.max_completion_tokens ?? undefined;
  return {
    messages: request.messages.map(message),
    ...common(request, logprobs),
    ...(newer === undefined ? {} : { max_tokens: most('max_completion_tokens', newer) }),
  };
}

/** Reads a completion request. */
export function completionRequest(request: CompletionRequest): WireRequest {
  known(request, COMPLETION);
  if (typeof request.prompt !== 'string') throw new InvalidRequest('prompt must be a string');
  const logprobs = request.logprobs ?? undefined;
  return {
    prompt: wellFormed(request.prompt),
    ...common(request, logprobs === undefined ? undefined : count('logprobs', logprobs, 20)),
  };
}

function known(request: object, fields: ReadonlySet<string>): void {
  if (typeof request !== 'object' || request === null) throw new InvalidRequest('a request is an object');
  for (const [field, value] of Object.entries(request)) {
    if (fields.has(field) || value === undefined || value === null) continue;
    throw new InvalidRequest(`"${field}" is not supported; supported are ${[...fields].sort().join(', ')}`);
  }
}

function common(request: ChatRequest | CompletionRequest, logprobs: number | undefined): WireRequest {
  if ((request.n ?? 1) !== 1) throw new InvalidRequest('n must be 1: one answer is generated at a time');
  const wire: Record<string, unknown> = {};
  for (const field of SAMPLING) {
    const value = request[field];
    if (value !== undefined && value !== null) wire[field] = value;
  }
  // The engine's own default is a fixed number: the same answer each time.
  if (wire.seed !== undefined) wire.seed = count('seed', wire.seed as number, Number.MAX_SAFE_INTEGER);
  if (Number(wire.temperature) > 0) wire.seed ??= crypto.getRandomValues(new Uint32Array(1))[0];
  const stop = stops(request.stop);
  if (stop.length > 0) wire.stop = stop;
  const limit = request.max_tokens ?? undefined;
  if (limit !== undefined) wire.max_tokens = most('max_tokens', limit);
  if (logprobs !== undefined) wire.logprobs = logprobs;
  return wire;
}

function stops(stop: string | readonly string[] | null | undefined): readonly string[] {
  const list = typeof stop === 'string' ? [stop] : (stop ?? []);
  const sound = Array.isArray(list) && list.length <= 16 && list.every((one) => typeof one === 'string' && one !== '');
  if (!sound) throw new InvalidRequest('stop must be a string or a list of up to 16, none of them empty');
  return list.map(wellFormed);
}

/** As the platform does where it writes UTF-8: half a surrogate pair is no character. */
function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd');
}

function most(field: string, tokens: number): number {
  return count(field, tokens, 2 ** 31, 1);
}

function count(field: string, value: number, most: number, least = 0): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new InvalidRequest(`${field} must be a whole number from ${least} to ${most}, not ${String(value)}`);
}

/** What else messages of answers have in OpenAI's shape, when they come back in the next turn. */
const EMPTY = new Set(['refusal', 'annotations']);

function message(given: Message, index: number): { role: string; content: string } {
  if (typeof given !== 'object' || given === null) throw new InvalidRequest(`messages[${index}] is no message`);
  const { role, content, ...more } = given;
  const other = Object.entries(more).find(([field, value]) => !EMPTY.has(field) && value !== undefined && value !== null);
  if (other) throw new InvalidRequest(`messages[${index}]: "${other[0]}" is not supported`);
  const name = role === 'developer' ? 'system' : role;
  if (!ROLES.has(name)) {
    throw new InvalidRequest(`messages[${index}]: the role "${String(role)}" is not supported; use system, user or assistant`);
  }
  if (typeof content === 'string') return { role: name, content: wellFormed(content) };
  if (content === null || content === undefined) {
    throw new InvalidRequest(`messages[${index}]: it has no content; leave it out, or give an empty text`);
  }
  const parts = Array.isArray(content) ? content : [];
  const text = parts.every((part) => part?.type === 'text' && typeof part.text === 'string');
  if (parts.length === 0 || !text) {
    throw new InvalidRequest(`messages[${index}]: content must be text; images and sounds cannot be read`);
  }
  return { role: name, content: wellFormed(parts.map((part) => part.text).join('')) };
}
