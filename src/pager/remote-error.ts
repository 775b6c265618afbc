import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import type {RemoteError} from './protocol.ts';

/** An error as the gateway is told of it. */
export function remoteError(error: unknown): RemoteError {
  const coded = error instanceof CodedError ? error : undefined;
  return {
    code: errorCode(error) ?? 'ERR_ASSERTION',
    message: errorMessage(error),
    source: coded?.source ?? (errorCode(error) === undefined ? 'bug' : 'host'),
    retryable: coded?.retryable ?? false,
  };
}
