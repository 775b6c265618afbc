import {readFileSync} from 'node:fs';
import {errorCode} from '../core/errors.ts';

let depth: number | undefined;

/** How many pid namespaces the gateway is in. */
function ownDepth(): number {
  depth ??= /^NSpid:\t(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]?.split('\t').length ?? 1;
  return depth;
}

/** The number of a process in its own pid namespace, or undefined when it has ended or is no process of a container. */
export function innerPid(pid: number): number | undefined {
  try {
    const numbers = /^NSpid:\t(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]?.split('\t');
    // A process of the host's (or the gateway's) namespace has as many numbers as the gateway.
    return numbers === undefined || numbers.length <= ownDepth() ? undefined : Number(numbers.at(-1));
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH') return undefined;
    throw error;
  }
}
