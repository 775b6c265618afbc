/** What ends a check early. */
import {CodedError, errorCode, errorMessage} from '../../core/errors.ts';
import type {CheckFinding, CheckStatus} from './check-result.ts';

export class CheckFailure extends CodedError<'ERR_CHECK'> {
  readonly finding: CheckFinding;

  constructor(status: CheckStatus, info: string, code = 0) {
    super('ERR_CHECK', info === '' ? status : `${status}: ${info}`, {source: 'server', retryable: true});
    this.finding = {status, code, info};
  }
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'Connection refused',
  ECONNRESET: 'Connection reset by peer',
  EPIPE: 'Broken pipe',
  ETIMEDOUT: 'Connection timed out',
  EHOSTUNREACH: 'No route to host',
  ENETUNREACH: 'Network is unreachable',
  EACCES: 'Permission denied',
  ENOENT: 'No such file or directory',
};

/** The system's words for an error of a socket. */
export function socketReason(error: unknown): string {
  return reasons[errorCode(error) ?? ''] ?? errorMessage(error);
}
