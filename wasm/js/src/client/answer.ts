import { linked } from '../fetch/linked.js';
import type { Usage } from '../types/chat.js';
import type { Finish, Round } from '../worker/protocol.js';
import type { Connection } from './connection.js';
import type { WireRequest } from './request.js';
import { Settling, type Settled } from './settling.js';
import { Stream } from './stream.js';
import { usageOf } from './usage.js';

/** An answer that has ended. */
export interface Answer {
  readonly text: string;
  readonly tokens: readonly Settled[];
  readonly finish: Finish;
  readonly usage: Usage;
}

/** Generates an answer and tells each round. */
export async function generate(
  connection: Connection,
  request: WireRequest,
  signal: AbortSignal | undefined,
  onRound?: (round: Round, settled: readonly Settled[]) => void,
): Promise<Answer> {
  let text = '';
  const tokens: Settled[] = [];
  const settling = new Settling();
  const asked = performance.now();
  let first: number | undefined;
  // Every generation says how it ends; one that was stopped rejects.
  let finish: Finish = 'stop';
  const usage = await connection.call('generate', JSON.stringify(request), {
    signal,
    onEvent(round) {
      first ??= performance.now() - asked;
      text += round.text;
      const settled = settling.take(round);
      tokens.push(...settled);
      finish = round.finish ?? finish;
      onRound?.(round, settled);
    },
  });
  return { text, tokens, finish, usage: usageOf(usage, finish, request, (first ?? 0) / 1000) };
}

/** How the pieces of a streamed answer look. */
export interface Shape<T> {
  /** Before the first round. */
  opening(): T[];
  round(round: Round, settled: readonly Settled[]): T;
  closing(answer: Answer): T[];
}

/**
 * Generates an answer as a stream. Resolves with the first round, so that what is wrong
 * with a request is thrown here and not in the loop.
 */
export function streamed<T>(
  connection: Connection,
  request: WireRequest,
  signal: AbortSignal | undefined,
  shape: Shape<T>,
): Promise<Stream<T>> {
  const { controller, unlink } = linked(signal);
  const stream = new Stream<T>(controller);
  return new Promise((resolve, reject) => {
    let opened = false;
    const open = () => {
      if (!opened) shape.opening().forEach((piece) => stream.push(piece));
      opened = true;
      resolve(stream);
    };
    generate(connection, request, controller.signal, (round, settled) => {
      open();
      if (round.text !== '' || round.tokens.length > 0) stream.push(shape.round(round, settled));
    })
      .then((answer) => {
        open();
        shape.closing(answer).forEach((piece) => stream.push(piece));
        stream.end();
      })
      .catch((error: unknown) => {
        stream.fail(error);
        reject(error);
      })
      .finally(unlink);
  });
}
