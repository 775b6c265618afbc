import {mkdir, open} from 'node:fs/promises';
import {dirname} from 'node:path';
import {setTimeout as delay} from 'node:timers/promises';
import {CodedError} from '../src/core/errors.ts';
import {tryLock} from '../src/core/libc.ts';

/**
 * Holds the exclusive lock of `path` (created when missing, never removed) until disposed or until this process ends.
 * @throws CodedError ERR_LOCK_BUSY when another process holds it for longer than `timeoutMs`
 */
export async function lockFile(path: string, {timeoutMs}: {timeoutMs: number}): Promise<AsyncDisposable> {
  await mkdir(dirname(path), {recursive: true});
  const file = await open(path, 'a');
  const deadlineMs = performance.now() + timeoutMs;
  try {
    while (tryLock(file.fd) === 'busy') {
      if (performance.now() > deadlineMs) {
        throw new CodedError('ERR_LOCK_BUSY', `Cannot lock "${path}": another process has held it for ${timeoutMs} ms`, {source: 'host', retryable: true});
      }
      await delay(100);
    }
  } catch (error) {
    await file.close();
    throw error;
  }
  return {[Symbol.asyncDispose]: () => file.close()};
}
