/**
 * One place for patience with S3: how long an attempt may be silent, how often it is repeated, how long to wait in between. The client of AWS
 * could repeat requests too, but would hide that it did, and waits minutes for a connection that nobody answers.
 */
import {setTimeout as sleep} from 'node:timers/promises';
import type {Clock} from '../core/clock.ts';
import type {S3Limits} from './s3-options.ts';
import {isPassing, type Problem, problemOf} from './s3-problem.ts';

const firstPauseMs = 50;
/** A server that is asked to slow down gets this much more rest. */
const overloadedFactor = 4;

export interface Attempt {
  /** Aborts when time is up, when the caller gives up, and when the store is closed. */
  readonly signal: AbortSignal;
  /** Something arrived: the silence starts anew. */
  readonly heard: () => void;
}

export interface Patience {
  readonly clock: Clock;
  readonly limits: S3Limits;
  /** Of the store. */
  readonly closed: AbortSignal;
}

export interface AttemptOptions {
  readonly signal?: AbortSignal | undefined;
  /** How long until the first answer; default `silenceTimeoutMs`. */
  readonly firstAnswerMs?: number;
}

/** Runs one attempt; one that is silent for too long is aborted and rejects with a TimeoutError. */
export async function attempt<T>(patience: Patience, options: AttemptOptions, start: (attempt: Attempt) => Promise<T>): Promise<T> {
  const {clock, limits, closed} = patience;
  const silence = new AbortController();
  let lastMs = clock.monotonicMs();
  let allowedMs = options.firstAnswerMs ?? limits.silenceTimeoutMs;
  let cancel = (): void => undefined;
  const watch = (delayMs: number): void => {
    cancel = clock.after(delayMs, () => {
      const leftMs = lastMs + allowedMs - clock.monotonicMs();
      if (leftMs > 0) watch(leftMs);
      else silence.abort(new DOMException(`no answer for ${Math.round(allowedMs)} ms`, 'TimeoutError'));
    });
  };
  const heard = (): void => {
    lastMs = clock.monotonicMs();
    allowedMs = limits.silenceTimeoutMs;
  };
  const signal = AbortSignal.any([silence.signal, closed, ...(options.signal === undefined ? [] : [options.signal])]);
  watch(allowedMs);
  try {
    signal.throwIfAborted();
    return await start({signal, heard});
  } catch (error) {
    // What was aborted says so in many ways; the reason is the one that counts.
    signal.throwIfAborted();
    throw error;
  } finally {
    cancel();
  }
}

export interface RetryOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onRetry: (problem: Problem) => void;
}

/** Calls `once` until it succeeds, fails with what will not pass, or was tried often enough. `once` gets the number of the try, from 1 on. */
export async function withRetries<T>(patience: Patience, options: RetryOptions, once: (tried: number) => Promise<T>): Promise<T> {
  const {limits, closed} = patience;
  const signal = AbortSignal.any([closed, ...(options.signal === undefined ? [] : [options.signal])]);
  for (let tried = 1; ; tried++) {
    signal.throwIfAborted();
    try {
      return await once(tried);
    } catch (error) {
      signal.throwIfAborted();
      const problem = problemOf(error);
      if (!isPassing(problem) || tried >= limits.attempts) throw error;
      options.onRetry(problem);
      await sleep(pauseMs(tried, problem, limits), undefined, {signal});
    }
  }
}

/** Doubles; half of it is random, so that many that failed together do not come back together. */
function pauseMs(tried: number, {kind}: Problem, {longestPauseMs}: S3Limits): number {
  const factor = kind === 'overloaded' ? overloadedFactor : 1;
  return Math.min(longestPauseMs, firstPauseMs * factor * 2 ** (tried - 1)) * (0.5 + Math.random() / 2);
}
