import {setTimeout as sleep} from 'node:timers/promises';
import {errorMessage} from '../core/errors.ts';
import type {Log} from '../core/log.ts';

const retryMs = 50;

export interface HibernateAttempts {
  readonly attempt: () => Promise<'hibernated' | 'cancelled'>;
  /** Whether there is still something to hibernate, and time for it. */
  readonly goesOn: () => boolean;
  readonly log: Log;
}

/**
 * For the stop of the gateway: waits for an attempt that is under way already, however it ends, and repeats one that was cancelled,
 * for nobody can need the app any more. Never throws: an attempt that fails is the last one.
 */
export async function untilHibernated(underWay: Promise<unknown> | undefined, {attempt, goesOn, log}: HibernateAttempts): Promise<void> {
  await Promise.allSettled([underWay]);
  try {
    while (goesOn()) {
      if ((await attempt()) === 'hibernated') return;
      await sleep(retryMs);
    }
  } catch (error) {
    log.error({error: errorMessage(error)}, 'the app could not be hibernated on the way out');
  }
}
