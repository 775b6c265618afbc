import type {Clock} from '../core/clock.ts';

/** Waits for `work`, but no longer than `timeoutMs`: then it throws `late()`, and the work goes on. */
export async function withDeadline<T>(work: Promise<T>, {clock, timeoutMs, late}: {clock: Clock; timeoutMs: number; late: () => Error}): Promise<T> {
  const passed = Promise.withResolvers<never>();
  const cancel = clock.after(timeoutMs, () => passed.reject(late()));
  try {
    return await Promise.race([work, passed.promise]);
  } finally {
    cancel();
  }
}
