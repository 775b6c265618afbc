import {errorCode} from '../core/errors.ts';
import type {AppAccess, AppWatch} from '../edge/app-access.ts';
import {unnoticedAddress} from '../nat/names.ts';
import type {App} from '../supervisor/app.ts';
import type {Supervisor} from '../supervisor/supervisor.ts';

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
export function edgeWatch(supervisor: Supervisor): AppWatch {
  const find = (name: string): App | null => {
    try {
      return supervisor.app(name);
    } catch (error) {
      // Gone from the configuration, or just being replaced.
      if (errorCode(error) === 'ERR_UNKNOWN_APP') return null;
      throw error;
    }
  };
  return {
    awakeHost(name) {
      const app = find(name);
      return app?.isAwake === true ? app.address : null;
    },
    checkSource: unnoticedAddress,
    onChange: (callback) => supervisor.onAwakeChange(callback),
  };
}
