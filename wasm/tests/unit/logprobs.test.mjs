import assert from 'node:assert/strict';
import { test } from 'node:test';

import { chatLogprobs, completionLogprobs } from '../../dist/client/logprobs.js';
import { Settling } from '../../dist/client/settling.js';

// As the wasm module tells them: minus infinity is null.
const likely = (bytes, logprob = -0.25) => ({ bytes: [...Buffer.from(bytes)], logprob });
const token = (bytes, text, top = []) => ({ id: 1, text, drafted: false, ...likely(bytes), top, offset: 0 });

test('a token of probability nothing is not one of certainty', () => {
  const tokens = [token('e', 'e', [likely('e'), likely('é', null)])];
  assert.deepEqual(chatLogprobs(tokens).content[0].top_logprobs.map((one) => one.logprob), [-0.25, -9999]);
  assert.deepEqual(completionLogprobs(tokens).top_logprobs, [{ e: -0.25, é: -9999 }]);
  const banned = [{ ...tokens[0], logprob: null }];
  assert.equal(chatLogprobs(banned).content[0].logprob, -9999);
  assert.deepEqual(completionLogprobs(banned).token_logprobs, [-9999]);
});

test('a part of a character is spelled by its bytes', () => {
  const [first, second] = [[195], [169]];
  const tokens = [token(first, '', [likely(first), likely(second)]), token(second, 'é')];
  const { content } = chatLogprobs(tokens);
  assert.deepEqual(content.map((one) => [one.token, one.bytes]), [['\\xc3', [195]], ['\\xa9', [169]]]);
  const older = completionLogprobs(tokens);
  assert.deepEqual(older.tokens, ['bytes:\\xc3', 'bytes:\\xa9']);
  assert.deepEqual(older.top_logprobs[0], { 'bytes:\\xc3': -0.25, 'bytes:\\xa9': -0.25 });
});

test('of two tokens with one text the likelier is told', () => {
  const tokens = [token('a', 'a', [likely('a', -0.25), likely('a', -5)])];
  assert.deepEqual(completionLogprobs(tokens).top_logprobs, [{ a: -0.25 }]);
});

test('none were asked for, or the token ends the turn', () => {
  const plain = [{ id: 1, text: 'a', drafted: true, offset: 0 }];
  assert.deepEqual([chatLogprobs(plain), completionLogprobs(plain)], [null, null]);
  assert.deepEqual(chatLogprobs(plain, true), { content: [], refusal: null });
  assert.deepEqual(completionLogprobs([], true).tokens, []);
  assert.equal(chatLogprobs([token('a', 'a'), ...plain]).content.length, 1);
});

const word = (text) => ({ id: 1, text, drafted: false });
/** The tokens of an answer in these rounds, by round, each with its place. */
function settle(...rounds) {
  const settling = new Settling();
  return rounds.map(([text, tokens, finish]) =>
    settling.take({ text, tokens: tokens.map(word), ...(finish ? { finish } : {}) }).map((one) => `${one.offset}${one.text}`),
  );
}

test('tokens belong to an answer when their text does', () => {
  assert.deepEqual(settle(['ab', ['a', 'b']], ['', []], ['c', ['c'], 'length']), [['0a', '1b'], [], ['2c']]);
  // "b" may begin a stop string, and does not.
  assert.deepEqual(settle(['a', ['a', 'b']], ['bc', ['c', ''], 'stop']), [['0a'], ['1b', '2c']]);
  // It does, and a token lies across its begin.
  assert.deepEqual(settle(['a', ['a', 'b']], ['', ['c'], 'stop']), [['0a'], []]);
  assert.deepEqual(settle(['a', ['ab', 'c'], 'stop']), [['0ab']]);
});

test('a character across tokens belongs to each', () => {
  assert.deepEqual(settle(['a', ['a', '']], ['é', ['é']]), [['0a'], ['1', '1é']]);
  // One that the limit cuts is told as the sign of that.
  assert.deepEqual(settle(['a', ['a']], ['\ufffd', [''], 'length']), [['0a'], ['1']]);
});
