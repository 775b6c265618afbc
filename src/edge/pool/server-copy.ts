/** What the threads of a process tell each other of a server: one of them checks it, and is asked by operators; the others do as that one says. */
import type {Target} from '../../config/proxy-value.ts';
import type {AdminState} from './server-host.ts';

/** All that decides whether a server gets sessions, how many, and where they go. */
export interface ServerCopy {
  readonly admin: AdminState;
  readonly weight: number;
  readonly health: number;
  readonly isRunning: boolean;
  readonly isStopping: boolean;
  /** Name servers know none. */
  readonly hasNoAddress: boolean;
  readonly maxconn: number | null;
  readonly target: Target;
}

export interface NamedServerCopy {
  readonly backend: string;
  readonly server: string;
  readonly copy: ServerCopy;
}
