/**
 * Instances whose checkpoint cannot be read when a pager starts, because the store does not answer: their faults wait, and they are taken over
 * as soon as it can be read.
 */
import {setTimeout as sleep} from 'node:timers/promises';
import {CodedError, errorMessage} from '../../core/errors.ts';
import {appName, type InstanceId} from '../../core/ids.ts';
import type {Log} from '../../core/log.ts';
import type {Parts} from '../pager-parts.ts';
import {isPassing, type LateRecord, type LoadedRecord, loadRecord, planOf, servedOf} from '../served-instances.ts';
import {keeperRuns} from './parking.ts';

const retryDelayMs = {first: 200, limit: 10_000} as const;

export interface LateTakeoverEvents {
  readonly log: Log;
  readonly onLost: (instance: InstanceId, reason: string) => void;
  /** The pager stops: the next one goes on with it. */
  readonly signal: AbortSignal;
}

/** Resolves when the instance is served, lost, or released. Never throws. */
export async function takeOverLater(parts: Parts, late: LateRecord, {log, onLost, signal}: LateTakeoverEvents): Promise<void> {
  const {record} = late;
  const {instance} = record;
  using _copies = parts.tiering?.prepare(appName(record.app));
  let {loading} = late;
  for (let delayMs: number = retryDelayMs.first; ; delayMs = Math.min(delayMs * 2, retryDelayMs.limit)) {
    try {
      const loaded = await loading;
      if (signal.aborted || !isKnown(parts, instance)) break;
      await takeOver(parts, late, loaded);
      log.info({instance}, 'the memory of the instance is served again');
      break;
    } catch (error) {
      if (signal.aborted || !isKnown(parts, instance)) break;
      if (!isPassing(error)) {
        onLost(instance, errorMessage(error));
        break;
      }
      log.warn({instance, error: errorMessage(error)}, 'the memory of the instance cannot be served now; its faults wait and it is tried again');
    }
    await sleep(delayMs * (0.5 + Math.random() / 2), undefined, {signal, ref: false}).catch(() => undefined); // Only cut short by the stop.
    loading = again(parts, late);
  }
  parts.served.waitsNoMore(instance);
}

async function again({store}: Parts, {record}: LateRecord): Promise<LoadedRecord> {
  const {instance, keeper} = record;
  if (keeper === null || keeperRuns(keeper)) return loadRecord(store, record);
  throw new CodedError('ERR_KEEPER', `Cannot take over the memory of instance "${instance}": its keeper has ended`, {source: 'host'});
}

/** It may be released at any moment. */
function isKnown({files}: Parts, instance: InstanceId): boolean {
  return files.list().some((record) => record.instance === instance);
}

async function takeOver(parts: Parts, {record, spaces}: LateRecord, loaded: LoadedRecord): Promise<void> {
  const {instance, keeper} = record;
  const {served, faults, files} = parts;
  // Before its first fault asks for something.
  served.add(servedOf(record, loaded));
  try {
    if (keeper !== null) await faults.ask({kind: 'takeover', plan: planOf(record, keeper, loaded, files), spaces});
    if (isKnown(parts, instance)) return;
    if (keeper !== null) await faults.ask({kind: 'release', instance});
    served.remove(instance);
  } catch (error) {
    served.remove(instance);
    throw error;
  }
}
