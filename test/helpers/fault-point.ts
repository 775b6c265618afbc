/** Arms a fault point for the processes that the test starts from now on. */
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import type {FaultPoint} from '../../src/core/fault-point.ts';
import {temporaryDirectory} from './temporary-directory.ts';

export interface ArmedPoint extends AsyncDisposable {
  /** Whether a process has died there. */
  hasKilled(): boolean;
}

/** Only the first process that comes there dies. @param passing the number of the passing at which it dies */
export async function armFaultPoint(point: FaultPoint, passing = 1): Promise<ArmedPoint> {
  const directory = await temporaryDirectory();
  const once = join(directory.path, 'killed');
  process.env['PICOGATE_FAULT_POINT'] = `${point}@${passing}`;
  process.env['PICOGATE_FAULT_POINT_ONCE'] = once;
  return {
    hasKilled: () => existsSync(once),
    async [Symbol.asyncDispose]() {
      delete process.env['PICOGATE_FAULT_POINT'];
      delete process.env['PICOGATE_FAULT_POINT_ONCE'];
      await directory[Symbol.asyncDispose]();
    },
  };
}
