import assert from 'node:assert/strict';
import { test } from 'node:test';

import { chatLogprobs, completionLogprobs } from '../../dist/client/logprobs.js';

// As the wasm module tells them: minus infinity is null, and half a character is U+FFFD.
const tokens = [{
  id: 1, text: '\ufffd', drafted: false, logprob: -0.25,
  top: [{ id: 1, text: '\ufffd', logprob: -0.25 }, { id: 2, text: 'é', logprob: null }],
}];

test('a token of probability nothing is not one of certainty', () => {
  assert.deepEqual(chatLogprobs(tokens).content[0].top_logprobs.map((one) => one.logprob), [-0.25, -9999]);
  assert.deepEqual(completionLogprobs(tokens).top_logprobs, [{ '\ufffd': -0.25, é: -9999 }]);
  const banned = [{ ...tokens[0], logprob: null }];
  assert.equal(chatLogprobs(banned).content[0].logprob, -9999);
  assert.deepEqual(completionLogprobs(banned).token_logprobs, [-9999]);
});

test('the bytes of half a character are not told, rather than wrong', () => {
  const [one] = chatLogprobs(tokens).content;
  assert.deepEqual([one.bytes, one.top_logprobs[1].bytes], [null, [195, 169]]);
});

test('none were asked for', () => {
  const plain = [{ id: 1, text: 'a', drafted: true }];
  assert.deepEqual([chatLogprobs(plain), completionLogprobs(plain)], [null, null]);
});
