import {setTimeout as sleep} from 'node:timers/promises';

const retryMs = 50;

export interface HibernateAttempts {
  readonly attempt: () => Promise<'hibernated' | 'cancelled'>;
  /** Whether there is still something to hibernate, and time for it. */
  readonly goesOn: () => boolean;
}

/**
 * For the stop of the gateway: waits for an attempt that is under way already, however it ends, and repeats one that was cancelled,
 * for nobody can need the app any more.
 * @throws what an attempt of its own throws
 */
export async function untilHibernated(underWay: Promise<unknown> | undefined, {attempt, goesOn}: HibernateAttempts): Promise<void> {
  await Promise.allSettled([underWay]);
  while (goesOn()) {
    if ((await attempt()) === 'hibernated') return;
    await sleep(retryMs);
  }
}
