import type {AppControl} from '../admin/gateway-control.ts';
import {appName} from '../core/ids.ts';
import type {AppRuntime} from './app-runtime.ts';

/** An app as the runtime API sees it. */
export function appControl(name: string, {supervisor, access}: AppRuntime): AppControl {
  const app = supervisor.app(name);
  const {state, lastWake, lastHibernate, lastError} = app.status();
  return {
    name,
    state,
    address: app.address,
    lastWake: lastWake === null ? null : {atMs: lastWake.at, tookMs: lastWake.ms, trigger: lastWake.trigger},
    lastHibernate: lastHibernate === null ? null : {atMs: lastHibernate.at, tookMs: lastHibernate.ms, bytesWritten: lastHibernate.bytesWritten},
    lastError: lastError?.message ?? null,
    async wake() {
      // Wherever it is, as for a client.
      await access.wake(appName(name), {kind: 'operator'}, new AbortController().signal);
    },
    async hibernate() {
      app.wakefulness.expectUnpinned();
      return app.hibernate();
    },
  };
}
