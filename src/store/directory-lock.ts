/** One process at a time: a lock on a file, which the kernel drops when its holder ends, however it ends (flock(2)). */
import {constants} from 'node:os';
import koffi from 'koffi';
import {CodedError} from '../core/errors.ts';
import {close, errnoName, libc, open} from '../core/libc.ts';

const flock = libc.func('int flock(int fd, int operation)');
const exclusiveNonBlocking = 2 | 4;
const readWriteCreate = 0o2 | 0o100;

/**
 * @param what names the holder in the message, for example `state directory "/var/lib/picogate"`
 * @throws CodedError ERR_IN_USE when another process holds it
 */
export function lockFile(path: string, what: string): Disposable {
  const fd = open(path, readWriteCreate, 0o600);
  if (flock(fd, exclusiveNonBlocking) !== 0) {
    const errno = koffi.errno();
    close(fd);
    const found = errno === constants.errno.EAGAIN ? 'another gateway is using it' : errnoName(errno);
    throw new CodedError('ERR_IN_USE', `Cannot use ${what}: ${found}`, {source: 'host'});
  }
  let held = true;
  return {
    [Symbol.dispose]() {
      if (held) close(fd);
      held = false;
    },
  };
}
