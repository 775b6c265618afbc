/** The end of an instance in the pager: what it touched is learned, and what served it goes when its last process has. */
import {CodedError, errorMessage} from '../core/errors.ts';
import {faultPoint} from '../core/fault-point.ts';
import {nothingCounted} from '../core/histogram.ts';
import {type AppName, appName, type InstanceId} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import {isNeeded, stopKeeper} from './faults/parking.ts';
import type {Parts} from './pager-parts.ts';
import {totalsOf} from './paging-totals.ts';
import type {PagingStats} from './protocol.ts';
import type {Served} from './served-instances.ts';

const releaseTimeoutMs = 3000;
const releasePollMs = 5;

export async function statsOf({faults}: Parts, served: Served): Promise<PagingStats> {
  const {instance, keeper, prefetch} = served;
  const predictedPages = prefetch?.installPages ?? 0;
  if (keeper !== null) return {...(await faults.ask({kind: 'stats', instance})).stats, predictedPages};
  return {
    restored: true,
    faults: 0,
    zeroFaults: 0,
    prefetched: 0,
    prefetchMs: null,
    missing: 0,
    waiting: 0,
    waitingMs: null,
    waitingReason: null,
    medianFaultMicros: null,
    faultTimes: nothingCounted,
    touched: [],
    brought: 0,
    passed: [],
    alongside: [],
    complete: true,
    predictedPages,
  };
}

export async function release(parts: Parts, instance: InstanceId, log: Log): Promise<void> {
  const served = parts.served.find(instance);
  if (served === undefined) await releaseLost(parts, instance);
  else {
    const stats = await statsOf(parts, served).catch((error: unknown) => {
      log.warn({instance, error: errorMessage(error)}, 'what the instance touched is not known');
    });
    if (stats !== undefined && served.keeper !== null) await learn(parts, served, {stats, log});
    await forget(parts, served);
    if (stats !== undefined) parts.ended.add(served.checkpoint.app, totalsOf(served, stats));
  }
  const app = appOf(instance);
  // A restore that was only prepared says nothing about the instance that is being committed.
  if (parts.unsettled.get(app) !== (served?.instance ?? null)) return;
  parts.unsettled.delete(app);
  parts.tiering?.settle(app);
  // The newest generation is no copy.
  parts.tiering?.settleCopies(app);
}

export function appOf(instance: InstanceId): AppName {
  return appName(instance.slice(0, instance.lastIndexOf('.')));
}

async function learn(parts: Parts, served: Served, {stats, log}: {stats: PagingStats; log: Log}): Promise<void> {
  const {checkpoint, instance, prefetch} = served;
  // Another pager saw the first part of its run: half of the truth would throw pages out of the set.
  if (prefetch === null) return;
  try {
    const {touched, passed, alongside} = stats;
    await parts.predicted.learn(checkpoint.app, {
      plan: prefetch,
      touched: new Map(touched.map(({vpid, pages}) => [vpid, pages])),
      passed: new Map(passed.map(({vpid, ranges}) => [vpid, ranges])),
      brought: new Map(alongside.map(({vpid, ranges}) => [vpid, ranges])),
    });
  } catch (error) {
    log.warn({instance, error: errorMessage(error)}, 'what the instance touched is not learned');
  }
}

/** An instance that could not be taken over: all that is left of it is a record and a keeper. */
async function releaseLost({files}: Parts, instance: InstanceId): Promise<void> {
  const record = files.list().find((found) => found.instance === instance);
  if (record === undefined) return;
  const {keeper} = record;
  if (keeper !== null) {
    await untilGone(instance, () => !isNeeded(keeper));
    stopKeeper(keeper);
  }
  files.remove(instance);
}

/** @throws CodedError ERR_STILL_USED */
async function untilGone(instance: InstanceId, isGone: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + releaseTimeoutMs;
  while (!(await isGone())) {
    if (performance.now() > deadline) {
      throw new CodedError('ERR_STILL_USED', `Cannot release instance "${instance}": a process of it still lives`, {source: 'host', retryable: true});
    }
    await new Promise((resolve) => setTimeout(resolve, releasePollMs));
  }
}

/** @throws CodedError ERR_STILL_USED while one of its processes lives: it must not lose its keeper. May be repeated then. */
async function forget(parts: Parts, {instance, checkpoint, keeper, loaded}: Served): Promise<void> {
  const {faults, files, served} = parts;
  if (keeper !== null) await untilGone(instance, async () => (await faults.ask({kind: 'release', instance})).gone && !isNeeded(keeper));
  faultPoint('pager:release:before-forget');
  served.remove(instance);
  await loaded?.[Symbol.asyncDispose]();
  if (keeper !== null) stopKeeper(keeper);
  files.remove(instance);
  const {app, generation} = checkpoint;
  if (served.all().some((other) => other.checkpoint.app === app)) return;
  await parts.tiering?.forgetCold(app, generation);
  parts.tiering?.upload(app);
}
