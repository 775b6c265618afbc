import {errnoName} from '../../core/libc.ts';

/** An error of a system call, named as Node names it. */
export class ErrnoError extends Error {
  readonly code: string;
  /** @param what it was done to: `127.0.0.1:80` */
  constructor(call: string, errno: number, what = '') {
    const code = errnoName(errno);
    super(`${call} ${code}${what === '' ? '' : ` ${what}`}`);
    this.code = code;
  }
}
