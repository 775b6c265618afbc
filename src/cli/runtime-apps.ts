import type {AppControl} from '../admin/gateway-control.ts';
import type {AppRuntime} from './app-runtime.ts';

/** An app as the runtime API sees it. */
export function appControl(name: string, {supervisor}: AppRuntime): AppControl {
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
      await (await supervisor.ready(name)).wake({kind: 'operator'});
    },
    async hibernate() {
      app.wakefulness.expectUnpinned();
      return app.hibernate();
    },
  };
}
