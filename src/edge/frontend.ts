import type {BoundAddress} from './addresses.ts';
import type {Admission} from './admission.ts';
import type {Counters} from './counters.ts';

/** A session as it is now. Times are of Clock.monotonicMs. */
export interface SessionInfo {
  /** Unlike that of any other connection or session of the process. */
  readonly id: number;
  readonly frontend: string;
  readonly protocol: 'tcp' | 'udp';
  /** Null: none is chosen yet, or the session needs none. */
  readonly backend: string | null;
  readonly server: string | null;
  /** Null for an ordinary server. */
  readonly app: string | null;
  /** The client's address, without its port. */
  readonly source: string;
  readonly sourcePort: number;
  readonly startedMs: number;
  /** When bytes moved last, or the session began. */
  readonly lastActivityMs: number;
  /** The client's last bytes are unanswered, or the session still waits. */
  readonly busy: boolean;
  /** Ends it without ceremony. */
  cut(): void;
}

/** A bind with counters of its own: `option socket-stats`. */
export interface CountedListener {
  /** Of the bind, or made of its number in the frontend. */
  readonly name: string;
  /** From 1 on. */
  readonly number: number;
  /** `unix` for a socket that is no address. */
  readonly address: {readonly host: string; readonly port: number} | 'unix';
  /** 0: no limit of its own. */
  readonly maxconn: number;
  readonly counters: Counters;
}

/** What the edge does with a frontend, whatever its mode. */
export interface Frontend {
  readonly name: string;
  readonly addresses: readonly BoundAddress[];
  readonly counters: Counters;
  /** Empty without `option socket-stats`. */
  readonly listeners: readonly CountedListener[];
  /** For the runtime API; null: such a frontend can be neither paused nor given another `maxconn`. */
  readonly admission: Admission | null;
  /** Closes the listening sockets; sessions go on. */
  stopAccepting(): void;
  sessions(): Iterable<SessionInfo>;
  /** Settles when no session is left. */
  ended(): Promise<void>;
  /** Ends all sessions at once. */
  cut(): void;
}
