import type {AppName} from '../core/ids.ts';
import type {Trigger} from '../core/trigger.ts';
import type {AppAccess, AppEndpoint, AppWatch} from '../edge/app-access.ts';
import {unnoticedAddress} from '../nat/names.ts';
import {BusySession} from '../supervisor/busy-sessions.ts';
import type {Supervisor} from '../supervisor/supervisor.ts';
import {isWakeable} from '../supervisor/wakeable.ts';
import type {AnsweredChecks} from './answered-checks.ts';
import type {Cluster} from './cluster.ts';
import type {HoldTimes} from './hold-times.ts';

/** The edge's view of the apps. @param cluster null: there is only this worker */
function edgeAccess(supervisor: Supervisor, cluster: Cluster | null): AppAccess {
  return {
    async wake(name, trigger) {
      if (cluster !== null) return reachAnywhere(supervisor, cluster, name, trigger);
      const app = await supervisor.ready(name);
      await app.wake(trigger);
      return {host: app.address};
    },
    missed: (name) => cluster?.missed(name),
    session(name) {
      const {busySessions} = supervisor.app(name).wakefulness;
      return new BusySession((kind) => busySessions.hold(kind));
    },
  };
}

/** On this worker directly, on another one at the port that it has for the app's. */
async function reachAnywhere(supervisor: Supervisor, cluster: Cluster, name: AppName, trigger: Trigger): Promise<AppEndpoint> {
  const {host, ports} = await cluster.reach(name, trigger);
  // An instance here may be one that has lost its lease, and not be what was reached.
  if (host === cluster.address) return {host: supervisor.app(name).address};
  return {host, port: 'port' in trigger ? ports[`${trigger.protocol}/${trigger.port}`] : undefined};
}

/** An app that nobody else can have does not move. */
const nothing = (): void => undefined;

/** Who is awake, for those who must wake nobody. */
function edgeWatch(supervisor: Supervisor, answered: AnsweredChecks, cluster: Cluster | null): AppWatch {
  return {
    isAwake: (name) => supervisor.awakeAddress(name) !== null || (cluster?.isAwakeElsewhere(name) ?? false),
    checkPlace(name, port) {
      const host = supervisor.awakeAddress(name);
      return host === null ? (cluster?.checkPlace(name, port) ?? null) : {host, port, from: unnoticedAddress};
    },
    isWakeable: (name) => isWakeable(supervisor.app(name).status(), Date.now()),
    checkAnswered: (name) => answered.count(name),
    onMoved: (callback) => cluster?.onMoved(callback) ?? nothing,
    onChange(callback) {
      const ends = [supervisor.onAwakeChange(callback), cluster?.onAwakeElsewhere(callback)];
      return () => {
        for (const end of ends) end?.();
      };
    },
  };
}

interface EdgeSideOptions {
  readonly answered: AnsweredChecks;
  /** Null: there is only this worker. */
  readonly cluster: Cluster | null;
  readonly holds: HoldTimes;
}

/** All that the edge needs of the apps. */
export function edgeSide(supervisor: Supervisor, {answered, cluster, holds}: EdgeSideOptions): {readonly access: AppAccess; readonly watch: AppWatch} {
  const watch = edgeWatch(supervisor, answered, cluster);
  return {watch, access: holds.measuring(edgeAccess(supervisor, cluster), (app) => watch.isAwake(app))};
}
