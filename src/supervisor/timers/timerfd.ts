/** The timerfds of an app: read from /proc, set through a descriptor of our own. */
import {readdirSync, readlinkSync} from 'node:fs';
import {descriptorOf, setTimerfd} from '../../core/foreign-process.ts';
import {readKernelFile} from '../../core/kernel-files.ts';
import type {AppTimer} from './app-timer.ts';
import {type ProcessIds, unlessEnded} from './threads.ts';
import {clockKind} from './waiting-call.ts';

type Place = Extract<AppTimer['place'], {readonly kind: 'timerfd'}>;

const absoluteFlag = 1;
const link = 'anon_inode:[timerfd]';

/** Those that are set. */
export function readTimerfds({vpid, pid}: ProcessIds, nowMs: number): AppTimer[] {
  return (unlessEnded(() => readdirSync(`/proc/${pid}/fd`)) ?? []).flatMap((name) => {
    if (linkOf(pid, name) !== link) return [];
    const timer = parseTimerfd(unlessEnded(() => readKernelFile(`/proc/${pid}/fdinfo/${name}`)) ?? '');
    if (timer === undefined) return [];
    const {clock, flags, leftMs, everyMs} = timer;
    const descriptor = Number(name);
    const place: Place = {kind: 'timerfd', descriptor, clock, flags};
    return [{at: nowMs + leftMs, everyMs, what: `timerfd ${descriptor} of process ${vpid}`, process: vpid, place}];
  });
}

/** What /proc/PID/fdinfo says of a timerfd; undefined for one that is not set. */
export function parseTimerfd(info: string): {readonly clock: number; readonly flags: number; readonly leftMs: number; readonly everyMs: number} | undefined {
  const clock = /^clockid: (\d+)$/m.exec(info)?.[1];
  const flags = /^settime flags: (\d+)$/m.exec(info)?.[1];
  const [left, every] = [timeOf(info, 'it_value'), timeOf(info, 'it_interval')];
  if (clock === undefined || flags === undefined || left === undefined || every === undefined || left === 0) return undefined;
  return {clock: Number(clock), flags: Number.parseInt(flags, 8), leftMs: left, everyMs: every};
}

function timeOf(info: string, name: string): number | undefined {
  const found = new RegExp(`^${name}: \\((\\d+), (\\d+)\\)$`, 'm').exec(info);
  return found === null ? undefined : Number(found[1]) * 1000 + Number(found[2]) / 1_000_000;
}

/** Sets one to what was left when the app slept less the time since then; one that is overdue expires at once. @throws SystemCallError */
export function setTimerfdForward(pid: number, timer: AppTimer, place: Place, nowMs: number): void {
  if (linkOf(pid, place.descriptor) !== link) return;
  using taken = descriptorOf(pid, place.descriptor);
  // One that is to go with a clock that somebody sets needs a time of that clock.
  const byClock = (place.flags & absoluteFlag) !== 0 && clockKind(place.clock) === 'realtime';
  setTimerfd(taken.descriptor, {flags: byClock ? place.flags : 0, valueMs: byClock ? timer.at : Math.max(timer.at - nowMs, 0), everyMs: timer.everyMs});
}

function linkOf(pid: number, descriptor: number | string): string | undefined {
  return unlessEnded(() => readlinkSync(`/proc/${pid}/fd/${descriptor}`));
}
