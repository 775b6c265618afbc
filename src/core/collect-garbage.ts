/** Gives memory back that will not be asked for again soon. */
import {setFlagsFromString} from 'node:v8';
import {runInNewContext} from 'node:vm';

/** Takes some 100 ms of the calling thread in a process with 200 MB. V8 collects when it needs room, so a process that does nothing never does. */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  setFlagsFromString('--no-expose-gc');
  collect();
}
