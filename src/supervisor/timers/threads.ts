/** The threads of an app that sleep until a time. */
import {readdirSync} from 'node:fs';
import {errorCode} from '../../core/errors.ts';
import {readMemory} from '../../core/foreign-process.ts';
import {readKernelFile} from '../../core/kernel-files.ts';
import type {AppTimer, TimerPlace} from './app-timer.ts';
import type {ClockKind, Waiting} from './waiting-call.ts';

/** A process as the app numbers it and as the host does. */
export interface ProcessIds {
  readonly vpid: number;
  readonly pid: number;
}

/** As the host numbers them; none of a process that has ended. */
export function threadsOf(pid: number): number[] {
  return unlessEnded(() => readdirSync(`/proc/${pid}/task`).map(Number)) ?? [];
}

/** As the app numbers it; undefined when it has ended. */
export function innerNumber({vpid, pid}: ProcessIds, tid: number): number | undefined {
  if (tid === pid) return vpid;
  const status = unlessEnded(() => readKernelFile(`/proc/${pid}/task/${tid}/status`)) ?? '';
  const number = /^NSpid:\t.*?(\d+)$/m.exec(status)?.[1];
  return number === undefined ? undefined : Number(number);
}

/** What `read` finds of a process or thread; undefined when it has ended. */
export function unlessEnded<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH') return undefined;
    throw error;
  }
}

export interface SleepingThread {
  readonly process: ProcessIds;
  readonly vtid: number;
  readonly waiting: Waiting;
  /** When it began to wait, at the earliest: milliseconds since 1970. */
  readonly sinceMs: number;
  /** Whether the kernel has written what is left, as it does when it interrupts the call. */
  readonly interrupted: boolean;
}

const timespecBytes = 16;

/** Undefined when its time cannot be read. */
export async function sleepOf(thread: SleepingThread, nowMs: number): Promise<AppTimer | undefined> {
  const {vtid, waiting, sinceMs, interrupted} = thread;
  const {vpid, pid} = thread.process;
  const timer = (at: number, place: TimerPlace = {kind: 'call'}): AppTimer => ({
    at,
    everyMs: 0,
    what: `${waiting.call} of thread ${vtid}`,
    process: vpid,
    place,
  });
  if (waiting.kind === 'for') return timer(Math.max(sinceMs + waiting.ms, nowMs));
  const {address, left, unit, until} = waiting;
  const leftAt = interrupted && left !== null ? left : undefined;
  const data = await readMemory(pid, leftAt ?? address, timespecBytes);
  if (data === undefined) return undefined;
  const time = {seconds: Number(data.readBigInt64LE(0)), fraction: Number(data.readBigInt64LE(8))};
  const ms = time.seconds * 1000 + time.fraction / (unit === 'timespec' ? 1_000_000 : 1000);
  if (until !== null) return timer(nowMs + ms - clockMs(until, pid, nowMs));
  if (leftAt === undefined) return timer(Math.max(sinceMs + ms, nowMs));
  return timer(nowMs + ms, {kind: 'memory', address: Number(leftAt), unit, ...time});
}

/** What a clock of a process shows at `nowMs`, which is now: CRIU gives what it restores a time namespace of its own. */
function clockMs(clock: ClockKind, pid: number, nowMs: number): number {
  switch (clock) {
    case 'realtime':
      return nowMs;
    case 'monotonic':
      return Number(process.hrtime.bigint()) / 1_000_000 + offsetMs(pid, clock) - offsetMs('self', clock);
    case 'boottime':
      return Number(readKernelFile('/proc/uptime').split(' ')[0]) * 1000 + offsetMs(pid, clock) - offsetMs('self', clock);
    default:
      return clock satisfies never;
  }
}

/** Of a clock in the time namespace of a process, time_namespaces(7). */
function offsetMs(pid: number | 'self', clock: 'monotonic' | 'boottime'): number {
  const offsets = unlessEnded(() => readKernelFile(`/proc/${pid}/timens_offsets`)) ?? '';
  const [, seconds = '0', nanoseconds = '0'] = new RegExp(`^${clock}\\s+(-?\\d+)\\s+(\\d+)$`, 'm').exec(offsets) ?? [];
  return Number(seconds) * 1000 + Number(nanoseconds) / 1_000_000;
}
