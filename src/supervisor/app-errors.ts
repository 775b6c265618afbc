/** What an app says to those who asked for something that it cannot do. */
import {CodedError} from '../core/errors.ts';
import type {Pinned} from './app-status.ts';
import type {Refusal} from './breaker.ts';
import type {State} from './lifecycle.ts';

export function stoppingError(app: string): CodedError {
  return new CodedError('ERR_STOPPING', `Cannot wake app "${app}": the gateway is stopping`, {source: 'host', retryable: true});
}

export function wakeTimeoutError(app: string, timeoutMs: number): CodedError {
  return new CodedError('ERR_WAKE_TIMEOUT', `Cannot wake app "${app}" within ${timeoutMs} ms`, {source: 'server', retryable: true});
}

export function wakeRefusedError(app: string, {failures, ms}: Refusal, reason: string | undefined): CodedError {
  const found = `its last ${failures} wakes failed; the next one is tried in ${Math.ceil(ms / 1000)} s, and by "picogate wake ${app}" at once`;
  const message = `Cannot wake app "${app}": ${found}${reason === undefined ? '' : `; the last failure: ${reason}`}`;
  return new CodedError('ERR_WAKE_REFUSED', message, {source: 'server', retryable: true});
}

export function notRunningError(app: string, state: State): CodedError {
  return new CodedError('ERR_NOT_RUNNING', `Cannot hibernate app "${app}": it is ${state}`, {source: 'client'});
}

const pinnedByConfiguration = 'it has "pin" in its configuration';

/** @param remedy how the one who asked can have it all the same */
export function pinnedError(app: string, {by, until}: Pinned, remedy: string): CodedError {
  const found = by === 'configuration' ? pinnedByConfiguration : `an operator has pinned it${until === null ? '' : ` until ${new Date(until).toISOString()}`}`;
  return new CodedError('ERR_PINNED', `Cannot hibernate app "${app}": ${found}; ${remedy} does it all the same`, {source: 'client'});
}

export function staysPinnedError(app: string): CodedError {
  return new CodedError('ERR_PINNED', `Cannot unpin app "${app}": ${pinnedByConfiguration}`, {source: 'client'});
}

export function guestsError(app: string, remedy: string): CodedError {
  const found = `a command of "picogate exec" runs in it; ${remedy} ends it`;
  return new CodedError('ERR_EXEC_SESSION', `Cannot hibernate app "${app}": ${found}`, {source: 'client'});
}

export function leaseHeldError(app: string, {worker, remainingMs}: {readonly worker: string; readonly remainingMs: number}): CodedError {
  return new CodedError('ERR_LEASE_HELD', `Cannot wake app "${app}": worker "${worker}" has it for ${remainingMs} ms more`, {source: 'host', retryable: true});
}

/** Why an instance must not run on. */
export interface Loss {
  readonly reason: string;
  /** What is stored of its memory is not what was written. */
  readonly damaged: boolean;
}

export function lostError(app: string, {reason, damaged}: Loss): CodedError {
  const message = `Cannot serve the memory of app "${app}" any more: ${reason}`;
  if (damaged) return new CodedError('ERR_DAMAGED_CHECKPOINT', message, {source: 'host'});
  return new CodedError('ERR_INSTANCE_LOST', message, {source: 'host', retryable: true});
}

interface Place {
  readonly address: string;
  readonly range: string;
}

/** The checkpoint comes from another worker. */
export function wrongAddressError(app: string, saved: Place, here: Place): CodedError {
  const remedy = saved.range === here.range ? 'another app has that one' : `"private-range ${saved.range}" lets it have its own`;
  const found = `its checkpoint has the address ${saved.address}, and here it has ${here.address}; ${remedy}`;
  return new CodedError('ERR_WRONG_ADDRESS', `Cannot wake app "${app}": ${found}`, {source: 'host'});
}
