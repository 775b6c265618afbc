/** Arms a fault point for the processes that the test starts from now on. */
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import type {FaultPoint} from '../../src/core/fault-point.ts';
import {temporaryDirectory} from './temporary-directory.ts';

export interface ArmedPoint extends AsyncDisposable {
  /** Whether a process has died there, or stopped. */
  hasKilled(): boolean;
}

/**
 * Only the first process that comes there dies.
 * @param passing the number of the passing at which it dies
 * @param action with 'stop' it stops instead, until SIGCONT
 */
export async function armFaultPoint(point: FaultPoint, passing = 1, action: 'kill' | 'stop' = 'kill'): Promise<ArmedPoint> {
  const directory = await temporaryDirectory();
  const once = join(directory.path, 'killed');
  const variables = {PICOGATE_FAULT_POINT: `${point}@${passing}`, PICOGATE_FAULT_POINT_ONCE: once, PICOGATE_FAULT_ACTION: action};
  Object.assign(process.env, variables);
  return {
    hasKilled: () => existsSync(once),
    async [Symbol.asyncDispose]() {
      for (const name of Object.keys(variables)) Reflect.deleteProperty(process.env, name);
      await directory[Symbol.asyncDispose]();
    },
  };
}
