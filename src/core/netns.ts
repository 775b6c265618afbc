import {closeSync, openSync} from 'node:fs';
import {assert} from './errors.ts';
import {setns} from './libc.ts';

const cloneNewNet = 0x40000000;
let own: number | undefined;

/**
 * Runs `action` with this thread inside the network namespace at `path`; for what takes its namespace from the thread
 * that makes it: a socket, a child process. `action` must do that before its first `await`: the thread is back outside
 * when it returns.
 */
export function withinNetns<Result>(path: string, action: () => Result): Result {
  // Opened once and kept: it is the way back, which must not fail.
  own ??= openSync('/proc/thread-self/ns/net', 'r');
  const namespace = openSync(path, 'r');
  try {
    setns(namespace, cloneNewNet);
    try {
      return action();
    } finally {
      returnTo(own);
    }
  } finally {
    closeSync(namespace);
  }
}

function returnTo(namespace: number): void {
  try {
    setns(namespace, cloneNewNet);
  } catch (error) {
    assert(false, `The thread cannot leave a network namespace: ${String(error)}`);
  }
}
