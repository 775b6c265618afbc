/** Who asks for the address of an app will come soon: its wake begins while the answer travels. Nobody waits for it here. */
import type {Clock} from '../../core/clock.ts';
import {errorMessage} from '../../core/errors.ts';
import type {AppName} from '../../core/ids.ts';
import type {Trigger} from '../../core/trigger.ts';
import type {AppAccess} from '../app-access.ts';
import type {Counters} from '../counters.ts';
import type {RefusalLog} from '../refusal-log.ts';

export interface AppWakerOptions {
  readonly frontend: string;
  readonly apps: AppAccess;
  readonly clock: Clock;
  readonly counters: Counters;
  readonly refusals: RefusalLog;
}

export interface AppWaker extends Disposable {
  wake(app: AppName, trigger: Trigger): void;
}

/** An app is not asked to wake more often, whether that worked or not: thousands may ask for its address in a second. */
const pauseMs = 1000;

export function openAppWaker({frontend, apps, clock, counters, refusals}: AppWakerOptions): AppWaker {
  /** By app: not again before that time; infinite while its wake is under way. */
  const notBeforeMs = new Map<AppName, number>();
  const over = new AbortController();

  const begin = async (app: AppName, trigger: Trigger): Promise<void> => {
    notBeforeMs.set(app, Number.POSITIVE_INFINITY);
    try {
      await apps.wake(app, trigger, over.signal);
    } catch (error) {
      if (over.signal.aborted) return;
      counters.wakeFailures++;
      refusals.report({frontend, server: `app:${app}`, reason: errorMessage(error)});
    } finally {
      notBeforeMs.set(app, clock.monotonicMs() + pauseMs);
    }
  };

  return {
    wake(app, trigger) {
      if ((notBeforeMs.get(app) ?? 0) <= clock.monotonicMs()) void begin(app, trigger);
    },
    [Symbol.dispose]() {
      over.abort();
    },
  };
}
