/** The states of a server, and what it needs of its backend. */
import type {Clock} from '../../core/clock.ts';

/** As the operator has it: `drain` takes no new sessions but those that belong to it, `maint` takes none. */
export type AdminState = 'ready' | 'drain' | 'maint';
/** What comes of all that decides; `nolb` is drained because it answers its checks with 404. */
export type Condition = 'up' | 'down' | 'nolb' | 'drain' | 'maint';

/** What a server needs of its backend. @typeParam Server such a server */
export interface ServerHost<Server> {
  readonly name: string;
  readonly clock: Clock;
  readonly logHealthChecks: boolean;
  /** Sessions of the backend, and the number at which every server may have its `maxconn`; null: always. */
  sessions(): number;
  readonly fullconn: number | null;
  isAppAwake(server: Server): boolean;
  /** Whether it can be used, or its weight, has changed. `cause` is for people: `, reason: ...`; null: nobody is told. */
  changed(server: Server, change: {readonly from: Condition; readonly to: Condition; readonly cause: string | null}): void;
  /** A line of the log about a check. */
  report(line: string): void;
}
