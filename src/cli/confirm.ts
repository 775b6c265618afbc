/** Asks before something that cannot be taken back. */
import {once} from 'node:events';
import {createInterface} from 'node:readline';
import type {Readable, Writable} from 'node:stream';
import {CodedError} from '../core/errors.ts';

export interface ConfirmOptions {
  /** `--yes`: nobody is asked. */
  readonly yes: boolean;
  /** Default: standard input, if it is a terminal. */
  readonly input?: Readable & {readonly isTTY?: boolean};
  /** Default: standard error, so that what a command prints stays clean. */
  readonly output?: Writable;
}

/**
 * Returns when the answer is yes; `y` and `yes` are that, everything else is no.
 * @param question with its question mark: `Remove app "wiki"?`
 * @throws CodedError ERR_NOT_CONFIRMED: the answer is no, or there is nobody to ask
 */
export async function confirm(question: string, {yes, input = process.stdin, output = process.stderr}: ConfirmOptions): Promise<void> {
  if (yes) return;
  if (input.isTTY !== true) {
    throw new CodedError('ERR_NOT_CONFIRMED', `Cannot ask "${question}": standard input is no terminal; --yes goes on without asking`, {source: 'client'});
  }
  const lines = createInterface({input, terminal: false});
  try {
    output.write(`${question} [y/N] `);
    const answer: unknown = (await Promise.race([once(lines, 'line'), once(lines, 'close')]))[0];
    if (typeof answer === 'string' && /^\s*y(?:es)?\s*$/i.test(answer)) return;
  } finally {
    lines.close();
  }
  throw new CodedError('ERR_NOT_CONFIRMED', 'Nothing was changed', {source: 'client'});
}
