/** What a client is told when there is no connection to a server for its request, and how that is counted. */
import {errorCode} from '../../core/errors.ts';
import type {Counters} from '../counters.ts';

export interface ForwardingFailure {
  readonly status: number;
  readonly termination: string;
  readonly error: unknown;
}

export function unreached(error: unknown, counters: Counters): ForwardingFailure {
  const code = errorCode(error);
  const isLate = [error, error instanceof Error ? error.cause : null].some((one) => errorCode(one) === 'ERR_WAKE_TIMEOUT');
  let termination = isLate ? 'sC' : 'SC';
  if (code === 'ERR_CONNECT') {
    counters.connectFailures++;
    if (isTimeout(error)) termination = 'sC';
  } else if (code === 'ERR_QUEUE_FULL' || code === 'ERR_WAKE_RATE') {
    counters.refused++;
    if (code === 'ERR_QUEUE_FULL') termination = 'SQ';
  } else if (code === 'ERR_QUEUE_TIMEOUT') termination = 'sQ';
  else if (code !== 'ERR_NO_SERVER') counters.wakeFailures++;
  return {status: isLate ? 504 : 503, termination, error};
}

/** Of `timeout connect`. */
function isTimeout(error: unknown): boolean {
  return error instanceof Error && (errorCode(error.cause) === 'ERR_CONNECT_TIMEOUT' || (error.cause !== undefined && isTimeout(error.cause)));
}
