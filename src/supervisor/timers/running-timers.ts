/** The timers of an app that runs: whether the next one is too near for a sleep, and what of them goes into a checkpoint. */
import {readdirSync, readFileSync, statSync} from 'node:fs';
import {join} from 'node:path';
import type {AppConfig} from '../../config/value.ts';
import type {Clock} from '../../core/clock.ts';
import {errorMessage} from '../../core/errors.ts';
import type {Log} from '../../core/log.ts';
import type {Wait} from '../idle.ts';
import {type AppTimer, firstDue, type SavedTimers} from './app-timer.ts';
import {type CoreImage, readCore} from './core-image.ts';
import {ThreadWatch} from './thread-watch.ts';
import {innerNumber, type ProcessIds, sleepOf, threadsOf} from './threads.ts';
import {readTimerfds} from './timerfd.ts';
import {clockKind, parseSyscall, waitingIn} from './waiting-call.ts';

/** A sleep that is to be worth while is at least that much longer than what it costs. */
const shortestSleepMs = 1000;
/** What a timer takes to expire. */
const expiryMs = 50;
const clocksImage = /^timens-\d+\.img$/;

export interface RunningTimersOptions {
  readonly config: Pick<AppConfig, 'timers'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly processes: () => readonly ProcessIds[];
  /** Of falling asleep and waking, as far as it is known. */
  readonly costMs: () => number;
}

export class RunningTimers {
  readonly #options: RunningTimersOptions;
  readonly #watch = new ThreadWatch();

  constructor(options: RunningTimersOptions) {
    this.#options = options;
  }

  /** The app runs from now on. */
  restart(): void {
    this.#watch.restart(this.#options.clock.nowMs());
  }

  /** To be called about once in a second: how long threads have slept is known no better than that. */
  look(): void {
    const {config, clock, processes} = this.#options;
    if (config.timers !== null) this.#watch.look(processes(), clock.nowMs());
  }

  /** Whether a timer keeps the app awake, as far as it can be seen while the app runs. Looks first. */
  async keepAwake(): Promise<Wait | null> {
    const {config, clock, processes} = this.#options;
    if (config.timers === null) return null;
    this.look();
    const at = clock.nowMs();
    const timers = processes().flatMap((process) => readTimerfds(process, at));
    for (const {process, tid, call, sinceMs} of this.#watch.threads()) {
      const waiting = callIn(call);
      const timer =
        waiting === undefined ? undefined : await sleepOf({process, vtid: innerNumber(process, tid) ?? tid, waiting, sinceMs, interrupted: false}, at);
      if (timer !== undefined) timers.push(timer);
    }
    return this.keptBy({at, timers});
  }

  /** Whether one is due too soon for a sleep. The wait is over when it has expired. */
  keptBy(saved: Pick<SavedTimers, 'at' | 'timers'>): Wait | null {
    const {clock, config, costMs} = this.#options;
    const due = config.timers === null ? null : firstDue(saved, config.timers.minMs);
    if (due === null || due.at - saved.at >= shortestSleepMs + costMs()) return null;
    const leftMs = Math.max(due.at - clock.nowMs(), 0);
    return {kind: 'wait', ms: leftMs + expiryMs, reason: `${due.what} is due in ${Math.round(leftMs)} ms, too soon for a sleep`};
  }

  /**
   * All that are set, to be asked when CRIU has frozen the app and written its images; null when they do not matter. Never throws:
   * a checkpoint does not fail for it.
   */
  async save(imagesDir: string): Promise<SavedTimers | null> {
    const {config, clock, log, processes} = this.#options;
    if (config.timers === null) return null;
    try {
      const timers: AppTimer[] = [];
      for (const process of processes()) timers.push(...readTimerfds(process, clock.nowMs()), ...(await this.#timersIn(process, imagesDir)));
      const clocks = readdirSync(imagesDir).find((name) => clocksImage.test(name)) ?? null;
      return {at: clocks === null ? clock.nowMs() : statSync(join(imagesDir, clocks)).mtimeMs, clocks, timers};
    } catch (error) {
      log.warn({error: errorMessage(error)}, 'the timers of the app are not known: none of them will wake it');
      return null;
    }
  }

  async #timersIn(process: ProcessIds, imagesDir: string): Promise<AppTimer[]> {
    const timers: AppTimer[] = [];
    for (const tid of threadsOf(process.pid)) {
      const vtid = innerNumber(process, tid);
      if (vtid === undefined) continue;
      const path = join(imagesDir, `core-${vtid}.img`);
      const core = readCore(readFileSync(path));
      // What is left was asked for when this was written.
      const {mtimeMs} = statSync(path);
      timers.push(...timersOf(core, process.vpid, mtimeMs));
      if (core.atWork) timers.push({at: mtimeMs, everyMs: 0, what: `work of thread ${vtid}`, process: process.vpid, place: {kind: 'work'}});
      const waiting = core.call === null ? undefined : waitingIn(core.call.number, core.call.args);
      if (waiting === undefined) continue;
      const sleep = await sleepOf({process, vtid, waiting, sinceMs: this.#watch.sinceMs(tid), interrupted: true}, mtimeMs);
      if (sleep !== undefined) timers.push(sleep);
    }
    return timers;
  }
}

function callIn(line: string): ReturnType<typeof waitingIn> {
  const call = parseSyscall(line);
  return call === undefined ? undefined : waitingIn(call.number, call.args);
}

function timersOf({interval, posix}: CoreImage, process: number, nowMs: number): AppTimer[] {
  const timers: AppTimer[] = [];
  if (interval !== null) {
    timers.push({at: nowMs + interval.leftMs, everyMs: interval.everyMs, what: `interval timer of process ${process}`, process, place: {kind: 'interval'}});
  }
  for (const {id, clock, leftMs, everyMs} of posix) {
    if (clockKind(clock) === undefined) continue;
    timers.push({at: nowMs + leftMs, everyMs, what: `timer ${id} of process ${process}`, process, place: {kind: 'posix', id}});
  }
  return timers;
}
