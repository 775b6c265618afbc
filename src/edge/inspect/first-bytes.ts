/** Reads the first bytes of a connection as far as they are needed, and gives back what it did not use, as if it had not been read. */
import {CodedError} from '../../core/errors.ts';
import type {ByteStream} from '../streams/byte-stream.ts';

/** What the bytes so far amount to. */
export type Examination<T> =
  | {readonly done: true; readonly value: T /** So many are taken away; the rest is left to the next reader. */; readonly usedBytes: number}
  /** It is pointless to look again before there are so many in all. */
  | {readonly done: false; readonly neededBytes: number};

export type FirstBytesErrorCode = 'ERR_FIRST_BYTES_TIMEOUT' | 'ERR_FIRST_BYTES_ENDED';

/**
 * Waits until `examine` is done with the bytes of a socket that nobody reads. It gets all that came so far, and throws when that is too much.
 * The socket stays the caller's, who destroys it on errors, and is paused then.
 * @throws CodedError ERR_FIRST_BYTES_TIMEOUT, ERR_FIRST_BYTES_ENDED (the other side has closed, or reset), and what `examine` throws
 */
export function readFirstBytes<T>(socket: ByteStream, examine: (bytes: Buffer) => Examination<T>, {timeoutMs}: {timeoutMs: number}): Promise<T> {
  const {promise, resolve, reject} = Promise.withResolvers<T>();
  let bytes: Buffer[] = [];
  let sizeBytes = 0;
  let neededBytes = 1;

  const onData = (chunk: Buffer): void => {
    bytes.push(chunk);
    sizeBytes += chunk.length;
    if (sizeBytes < neededBytes) return;
    const [first] = bytes;
    const whole = first !== undefined && bytes.length === 1 ? first : Buffer.concat(bytes);
    bytes = [whole];
    try {
      const examination = examine(whole);
      if (!examination.done) {
        neededBytes = Math.max(examination.neededBytes, sizeBytes + 1);
        return;
      }
      stop();
      if (examination.usedBytes < sizeBytes) socket.unshift(whole.subarray(examination.usedBytes));
      resolve(examination.value);
    } catch (error) {
      stop();
      reject(error instanceof Error ? error : new Error(String(error)));
    }
  };
  const onEnd = (): void => {
    reject(endedError(sizeBytes));
    stop();
  };
  const timer = setTimeout(() => {
    reject(
      new CodedError('ERR_FIRST_BYTES_TIMEOUT', `Cannot read the first bytes of a connection: ${sizeBytes} bytes came in ${timeoutMs} ms`, {source: 'client'}),
    );
    stop();
  }, timeoutMs);
  const stop = (): void => {
    clearTimeout(timer);
    socket.pause();
    socket.off('data', onData).off('end', onEnd).off('close', onEnd).off('error', onEnd);
  };

  if (socket.destroyed || socket.readableEnded) onEnd();
  else socket.on('data', onData).on('end', onEnd).on('close', onEnd).on('error', onEnd).resume();
  return promise;
}

function endedError(sizeBytes: number): CodedError<FirstBytesErrorCode> {
  return new CodedError('ERR_FIRST_BYTES_ENDED', `Cannot read the first bytes of a connection: it ended after ${sizeBytes} bytes`, {source: 'client'});
}
