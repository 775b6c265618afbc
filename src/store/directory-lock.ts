/** One process at a time: a lock on a file, which the kernel drops when its holder ends, however it ends (flock(2)). */
import {CodedError} from '../core/errors.ts';
import {close, open, tryLock} from '../core/libc.ts';

const readWriteCreate = 0o2 | 0o100;

/**
 * @param what names the holder in the message, for example `state directory "/var/lib/picogate"`
 * @throws CodedError ERR_IN_USE when another process holds it
 */
export function lockFile(path: string, what: string): Disposable {
  const fd = open(path, readWriteCreate, 0o600);
  if (tryLock(fd) === 'busy') {
    close(fd);
    throw new CodedError('ERR_IN_USE', `Cannot use ${what}: another gateway is using it`, {source: 'host'});
  }
  let held = true;
  return {
    [Symbol.dispose]() {
      if (held) close(fd);
      held = false;
    },
  };
}
