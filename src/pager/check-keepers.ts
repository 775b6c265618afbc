import {errorMessage} from '../core/errors.ts';
import type {InstanceId} from '../core/ids.ts';
import {keeperRuns, startKeeper} from './faults/parking.ts';
import type {Parts} from './pager-parts.ts';

/** Somebody killed a keeper while we live: another one takes its place before we can be missed too. */
export async function checkKeepers(parts: Parts, runtimeDir: string, onLost: (instance: InstanceId, reason: string) => void): Promise<void> {
  for (const instance of parts.served.all()) {
    if (instance.keeper === null || keeperRuns(instance.keeper)) continue;
    parts.log.warn({instance: instance.instance, pid: instance.keeper.pid}, 'a keeper of descriptors ended; another takes its place');
    try {
      const {keeper, ends} = startKeeper(runtimeDir);
      // The worker owns the pair from here on. Only when all is parked does the record name the new keeper.
      await parts.faults.ask({kind: 'repark', instance: instance.instance, parking: ends});
      instance.keeper = keeper;
      const {app, generation} = instance.checkpoint;
      parts.files.write({instance: instance.instance, app, generation, keeper});
    } catch (error) {
      onLost(instance.instance, errorMessage(error));
    }
  }
}
