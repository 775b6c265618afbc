import type {AppAccess, AppWatch} from '../edge/app-access.ts';
import {unnoticedAddress} from '../nat/names.ts';
import type {Supervisor} from '../supervisor/supervisor.ts';
import {isWakeable} from '../supervisor/wakeable.ts';
import type {AnsweredChecks} from './answered-checks.ts';

/** The edge's view of the apps. */
export function edgeAccess(supervisor: Supervisor): AppAccess {
  return {
    async wake(name, trigger) {
      const app = await supervisor.ready(name);
      await app.wake(trigger);
      return {host: app.address};
    },
    session(name) {
      const app = supervisor.app(name);
      let release: (() => void) | undefined;
      const busy = (value: boolean): void => {
        if (value) {
          release ??= app.holdAwake();
        } else {
          release?.();
          release = undefined;
        }
      };
      return {busy, [Symbol.dispose]: () => busy(false)};
    },
  };
}

/** Who is awake, for those who must wake nobody. */
export function edgeWatch(supervisor: Supervisor, answered: AnsweredChecks): AppWatch {
  return {
    awakeHost: (name) => supervisor.awakeAddress(name),
    isWakeable: (name) => isWakeable(supervisor.app(name).status(), Date.now()),
    checkAnswered: (name) => answered.count(name),
    checkSource: unnoticedAddress,
    onChange: (callback) => supervisor.onAwakeChange(callback),
  };
}
