/** Why a session gets no server. */
import type {BackendConfig} from '../../config/proxy-value.ts';
import {CodedError, errorCode, errorMessage} from '../../core/errors.ts';
import {showAddress} from '../addresses.ts';
import type {AssignedServer, Endpoint} from './assignment.ts';

export function noServer(backend: BackendConfig): CodedError<'ERR_NO_SERVER'> {
  const found = backend.servers.length === 0 ? 'it has none' : 'none of them can be used';
  return new CodedError('ERR_NO_SERVER', `Cannot find a server of backend "${backend.name}": ${found}`, {source: 'server', retryable: true});
}

/** No other server may be tried after this one's wake failed; the message is that of the wake. */
export function wakeFailed(cause: unknown): CodedError<'ERR_WAKE_FAILED'> {
  return new CodedError('ERR_WAKE_FAILED', errorMessage(cause), {source: 'server', retryable: true, cause});
}

export function connectError(
  backend: BackendConfig,
  server: AssignedServer,
  {endpoint, cause}: {endpoint: Endpoint; cause: unknown},
): CodedError<'ERR_CONNECT'> {
  const where = endpoint.path ?? showAddress(endpoint.host, endpoint.port);
  const message = `Cannot connect to server "${backend.name}/${server.name}" at ${where}: ${errorMessage(cause)}`;
  return new CodedError('ERR_CONNECT', message, {source: 'server', retryable: true, cause});
}

export function queueFull(what: string, waiting: number): CodedError<'ERR_QUEUE_FULL'> {
  return new CodedError('ERR_QUEUE_FULL', `Cannot hold another session for ${what}: ${waiting} wait already (maxqueue)`, {source: 'server', retryable: true});
}

export function queueTimeout(what: string, timeoutMs: number): CodedError<'ERR_QUEUE_TIMEOUT'> {
  return new CodedError('ERR_QUEUE_TIMEOUT', `Cannot give a session to ${what}: no free place within ${timeoutMs} ms`, {source: 'server', retryable: true});
}

export function wakeTimeout(app: string, timeoutMs: number): CodedError<'ERR_WAKE_TIMEOUT'> {
  return new CodedError('ERR_WAKE_TIMEOUT', `Cannot wake app "${app}": not ready within ${timeoutMs} ms`, {source: 'server', retryable: true});
}

/** The client has left before it was served. */
export function abandoned(): CodedError<'ERR_ABANDONED'> {
  return new CodedError('ERR_ABANDONED', 'The client has left', {source: 'client'});
}

/** Not the app has failed: there are too many sessions, or wakes. */
export function isRefusal(error: unknown): boolean {
  return ['ERR_QUEUE_FULL', 'ERR_WAKE_RATE'].includes(errorCode(error) ?? '');
}
