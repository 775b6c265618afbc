/**
 * Node waits for its threads when the process ends, and one that has a handle of ours in its event loop takes the process with it then (SIGABRT). So whoever
 * ends the process without having ended them in order ends it at once.
 */
import {writeSync} from 'node:fs';
import {libc} from './libc.ts';

/** koffi knows a function's types only at run time: the prototype says them. */
const exit: (status: number) => void = libc.func('void _exit(int status)');

function endAtOnce(status: number): void {
  exit(status);
}

/** Node would say it after the listeners of `exit`. */
function sayWhy(error: unknown): void {
  writeSync(process.stderr.fd, `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
}

/** From now on, until it is disposed, the end of the process does not wait for threads. */
export function endWithThreads(): Disposable {
  process.on('exit', endAtOnce);
  process.on('uncaughtExceptionMonitor', sayWhy);
  return {
    [Symbol.dispose]() {
      process.off('exit', endAtOnce);
      process.off('uncaughtExceptionMonitor', sayWhy);
    },
  };
}
