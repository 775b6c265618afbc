/** `tcp-request inspect-delay`: the first bytes of a stream are looked at as they come, and then handed to whoever goes on with it. */
import {CodedError} from '../../core/errors.ts';
import type {ByteStream} from '../streams/byte-stream.ts';

/** As much as HAProxy's buffer has (`tune.bufsize`): when that is full, no more will come. */
const maxBytes = 16_384;

export interface Inspected<T> {
  readonly verdict: T;
  /** Read already; what comes after them is not. */
  readonly bytes: Buffer;
}

/**
 * Waits for a verdict on the bytes of a socket that nobody reads. What was read is part of the result, since the end of a stream may have been read too; the socket is paused then.
 * @param judge gets what came so far, and whether that is all there will be: the client has ended, the time is over, or the buffer is full.
 *   Undefined: more bytes are needed, which it must not say of all
 * @throws CodedError ERR_ABANDONED when the connection is lost, and what `judge` throws
 */
export function inspectStream<T>(
  socket: ByteStream,
  judge: (bytes: Buffer, isAll: boolean) => T | undefined,
  {timeoutMs}: {timeoutMs: number},
): Promise<Inspected<T>> {
  const {promise, resolve, reject} = Promise.withResolvers<Inspected<T>>();
  let bytes: Buffer = Buffer.alloc(0);

  const look = (isAll: boolean): void => {
    try {
      const verdict = judge(bytes, isAll || bytes.length >= maxBytes);
      if (verdict === undefined) return;
      stop();
      resolve({verdict, bytes});
    } catch (error) {
      stop();
      reject(error instanceof Error ? error : new Error(String(error)));
    }
  };
  const onData = (chunk: Buffer): void => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    look(false);
  };
  const onEnd = (): void => look(true);
  const onClose = (): void => {
    stop();
    reject(new CodedError('ERR_ABANDONED', 'The client has left', {source: 'client'}));
  };
  const timer = setTimeout(() => look(true), timeoutMs);
  const stop = (): void => {
    clearTimeout(timer);
    socket.pause();
    socket.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose);
  };

  if (socket.destroyed) onClose();
  else {
    socket.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose).resume();
    // What needs no bytes is decided at once: a server that speaks first is not made to wait.
    look(false);
  }
  return promise;
}
