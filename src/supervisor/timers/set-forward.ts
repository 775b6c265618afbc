/**
 * An app that slept gets its timers as they would be if it had been awake. CRIU gives it what was left of them when it fell asleep, so that is
 * changed where CRIU takes it from, or before any process of the app runs again.
 */
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {errorMessage} from '../../core/errors.ts';
import {readMemory, writeMemory} from '../../core/foreign-process.ts';
import {mount, mountFlag, umount} from '../../core/libc.ts';
import type {Log} from '../../core/log.ts';
import type {AppTimer, SavedTimers} from './app-timer.ts';
import {changeClocks, changeCore} from './core-image.ts';
import type {ProcessIds} from './threads.ts';
import {setTimerfdForward} from './timerfd.ts';

/** CRIU takes 0 for the whole period. */
const overdueMs = 0.001;
const timespecBytes = 16;
const memoryPatienceMs = 500;

/**
 * Puts changed images over those of CRIU's that have clocks, interval timers and timers of timer_create(2); CRIU reads them when it makes the
 * processes. Disposing takes them away, when it has. Never throws.
 * @param directory for the changed images; it is made, and the caller's to remove
 */
export function changedImages(
  {imagesDir, directory, saved}: {readonly imagesDir: string; readonly directory: string; readonly saved: SavedTimers},
  {nowMs, log}: {readonly nowMs: number; readonly log: Log},
): Disposable {
  using scope = new DisposableStack();
  const replace = (name: string, change: (image: Buffer) => Buffer): void => {
    try {
      const [target, source] = [join(imagesDir, name), join(directory, name)];
      mkdirSync(directory, {recursive: true, mode: 0o700});
      writeFileSync(source, change(readFileSync(target)), {mode: 0o600});
      mount({source, target, type: '', flags: mountFlag.bind});
      scope.defer(() => umount(target, {detach: true}));
    } catch (error) {
      log.warn({image: name, error: errorMessage(error)}, 'clocks or timers of the app are late by the time that it slept');
    }
  };
  const {at, clocks, timers} = saved;
  if (clocks !== null) replace(clocks, (image) => changeClocks(image, Math.max(nowMs - at, 0)));
  const inImages = timers.filter(({place}) => place.kind === 'interval' || place.kind === 'posix');
  for (const [process, own] of Map.groupBy(inImages, (timer) => timer.process)) {
    replace(`core-${process}.img`, (image) => changeCore(image, leftIn(own, nowMs)));
  }
  return scope.move();
}

function leftIn(timers: readonly AppTimer[], nowMs: number): Parameters<typeof changeCore>[1] {
  const posixLeftMs = new Map<number, number>();
  let intervalLeftMs: number | undefined;
  for (const {at, place} of timers) {
    const leftMs = Math.max(at - nowMs, overdueMs);
    if (place.kind === 'posix') posixLeftMs.set(place.id, leftMs);
    else if (place.kind === 'interval') intervalLeftMs = leftMs;
  }
  return intervalLeftMs === undefined ? {posixLeftMs} : {posixLeftMs, intervalLeftMs};
}

/** The others, in processes that are complete and do not run yet. Never throws, and does not wait for memory that cannot be fetched. */
export async function setForward(
  processes: () => readonly ProcessIds[],
  timers: readonly AppTimer[],
  {nowMs, log}: {readonly nowMs: () => number; readonly log: Log},
): Promise<void> {
  let pids: ReadonlyMap<number, number> | undefined;
  for (const timer of timers) {
    const {place} = timer;
    try {
      pids ??= new Map(processes().map(({vpid, pid}) => [vpid, pid]));
      const pid = pids.get(timer.process);
      if (pid === undefined) continue;
      if (place.kind === 'timerfd') setTimerfdForward(pid, timer, place, nowMs());
      else if (place.kind === 'memory') await setMemoryForward(pid, timer, {place, nowMs});
    } catch (error) {
      log.warn({timer: timer.what, error: errorMessage(error)}, 'the timer is late by the time that the app slept');
    }
  }
}

/** What the kernel wrote there when it interrupted the call may be changed until the process has read it. */
async function setMemoryForward(
  pid: number,
  {at}: AppTimer,
  {place, nowMs}: {readonly place: Extract<AppTimer['place'], {readonly kind: 'memory'}>; readonly nowMs: () => number},
): Promise<void> {
  const address = BigInt(place.address);
  const written = await Promise.race([readMemory(pid, address, timespecBytes), late()]);
  if (written?.equals(timeBytes(place.seconds, place.fraction)) !== true) return;
  const leftMs = Math.max(at - nowMs(), 0);
  const seconds = Math.floor(leftMs / 1000);
  await writeMemory(pid, address, timeBytes(seconds, Math.floor((leftMs - seconds * 1000) * (place.unit === 'timespec' ? 1_000_000 : 1000))));
}

async function late(): Promise<undefined> {
  await sleep(memoryPatienceMs, undefined, {ref: false});
  return undefined;
}

function timeBytes(seconds: number, fraction: number): Buffer {
  const bytes = Buffer.alloc(timespecBytes);
  bytes.writeBigInt64LE(BigInt(seconds), 0);
  bytes.writeBigInt64LE(BigInt(fraction), 8);
  return bytes;
}
