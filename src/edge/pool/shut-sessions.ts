/** Sessions that end with the state of a server: `on-marked-down shutdown-sessions`, `on-marked-up shutdown-backup-sessions`. */
import type {AppName} from '../../core/ids.ts';
import type {CutCause} from '../cuttable.ts';
import type {AssignedServer} from './assignment.ts';
import type {Condition} from './server-host.ts';

/** Ends all sessions of a server; they are released meanwhile. */
export function cutAll(server: AssignedServer, cause: CutCause): void {
  for (const session of [...server.sessions]) session.cuttable?.cut(cause);
}

/** Ends the sessions with apps that are not where they were; one that is being connected looks for the app again. */
export function cutMoved(servers: readonly AssignedServer[], isOver: (app: AppName, host: string) => boolean): void {
  for (const {target, sessions} of servers) {
    if (target.kind !== 'app') continue;
    for (const session of [...sessions]) {
      if (!session.isReached || !isOver(target.app, session.endpoint.host)) continue;
      if (session.isConnected) session.cuttable?.cut('D');
      else session.giveUp?.();
    }
  }
}

/** @param all servers of the backend */
export function shutSessions(server: AssignedServer, to: Condition, all: readonly AssignedServer[]): void {
  const {onMarkedDown, onMarkedUp, backup} = server.config;
  if ((to === 'down' || to === 'maint') && onMarkedDown === 'shutdown-sessions') cutAll(server, 'D');
  if (to === 'up' && !backup && onMarkedUp === 'shutdown-backup-sessions') {
    for (const other of all) if (other.config.backup) cutAll(other, 'U');
  }
}
