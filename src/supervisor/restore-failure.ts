/** What the error of a wake says: whether another attempt may help, and whose fault it is. Pure rules. */
import {CodedError, errorCode} from '../core/errors.ts';

/** Of the host's surroundings, which have a retry of their own or need another one to act: nothing is wrong with the app. */
const surroundings: ReadonlySet<string> = new Set([
  'ERR_LEASE_HELD',
  'ERR_REDIS_UNAVAILABLE',
  'ERR_STOPPING',
  'ERR_STORE_FAILED',
  'ERR_STORE_FULL',
  'ERR_STORE_UNREACHABLE',
]);

/** What is stored cannot be used, whoever asks. */
const unusable: ReadonlySet<string> = new Set(['ERR_DAMAGED_CHECKPOINT', 'ERR_NO_CHECKPOINT', 'ERR_NO_OBJECT', 'ERR_OBJECT_TRUNCATED']);

/** Another attempt of the same may succeed. */
export function mayPass(error: unknown): boolean {
  return error instanceof CodedError && error.retryable && !surroundings.has(errorCode(error) ?? '');
}

/**
 * The checkpoint is why, for all that can be told from here: another one may do. A wrong key or address is to be put right by a person, and a host
 * without CRIU restores nothing.
 */
export function isFaultOfCheckpoint(error: unknown): boolean {
  const code = errorCode(error) ?? '';
  return unusable.has(code) || (code === 'ERR_RESTORE' && error instanceof CodedError && error.retryable);
}

/** Such failures in a row are a loop. */
export function countsAsFailedWake(error: unknown): boolean {
  const code = errorCode(error) ?? '';
  return !surroundings.has(code) && code !== 'ERR_PAGER_DIED';
}
