/** Changes of servers' states as HAProxy logs them. */
import type {AssignedServer} from './assignment.ts';
import type {Condition} from './server-host.ts';

export interface BackendState {
  readonly active: number;
  readonly backup: number;
}

export interface StateChange {
  /** `web/s1` */
  readonly server: string;
  readonly isBackup: boolean;
  readonly from: Condition;
  readonly to: Condition;
  /** `, reason: ...`, or `''` when it is logged already. */
  readonly cause: string;
  /** `web/s2` whose state it has, or null. */
  readonly via: string | null;
  readonly backend: BackendState;
  readonly sessions: number;
  readonly requeued: number;
  readonly queued: number;
}

/** @param pool the backend as it is after the change */
export function stateChange(
  server: AssignedServer,
  change: Pick<StateChange, 'from' | 'to' | 'cause' | 'requeued'>,
  pool: {readonly name: string; readonly servers: readonly AssignedServer[]},
): StateChange {
  const up = pool.servers.filter(({condition}) => condition === 'up');
  const backup = up.filter(({config}) => config.backup).length;
  return {
    ...change,
    server: `${pool.name}/${server.name}`,
    isBackup: server.config.backup,
    via: server.config.track,
    backend: {active: up.length - backup, backup},
    sessions: server.sessions.size,
    queued: server.queue.size,
  };
}

/** Null: nobody needs to know. */
export function describeChange(change: StateChange): string | null {
  if (change.from === change.to) return null;
  const server = `${change.isBackup ? 'Backup ' : ''}Server ${change.server}`;
  const via = change.via === null ? '' : ` via ${change.via}`;
  const said = `${server} ${verb(change)}${via}${change.cause}.`;
  // What an operator ends is told without numbers.
  return said.endsWith(' (leaving forced maintenance).') || said.endsWith(' (leaving forced drain).') ? said : `${said} ${serversLeft(change)}`;
}

function verb({from, to, cause}: StateChange): string {
  switch (to) {
    case 'down':
      return 'is DOWN';
    case 'nolb':
      return 'is stopping';
    case 'drain':
      return from === 'maint' ? 'is DRAIN (leaving maintenance)' : 'enters drain state';
    case 'maint':
      return from === 'down' ? 'was DOWN and now enters maintenance' : 'is going DOWN for maintenance';
    case 'up':
      if (from === 'maint') return cause === '' ? 'is UP/READY (leaving forced maintenance)' : 'is UP/READY';
      return from === 'drain' ? 'is UP (leaving forced drain)' : 'is UP';
    default:
      return to satisfies never;
  }
}

function serversLeft({to, backend: {active, backup}, sessions, requeued, queued}: StateChange): string {
  const onBackup = active === 0 && backup > 0 ? ' Running on backup.' : '';
  return to === 'down' || to === 'maint'
    ? `${active} active and ${backup} backup servers left.${onBackup} ${sessions} sessions active, ${requeued} requeued, ${queued} remaining in queue.`
    : `${active} active and ${backup} backup servers online.${onBackup} ${requeued} sessions requeued, ${queued} total in queue.`;
}
