import type {BoundAddress} from './addresses.ts';
import type {Counters} from './counters.ts';

/** A session as it is now. Times are of Clock.monotonicMs. */
export interface SessionInfo {
  readonly frontend: string;
  readonly protocol: 'tcp' | 'udp';
  /** Null for an ordinary server. */
  readonly app: string | null;
  /** The client's address, without its port. */
  readonly source: string;
  readonly startedMs: number;
  /** When bytes moved last, or the session began. */
  readonly lastActivityMs: number;
  /** The client's last bytes are unanswered, or the session still waits. */
  readonly busy: boolean;
}

/** What the edge does with a frontend, whatever its mode. */
export interface Frontend {
  readonly name: string;
  readonly addresses: readonly BoundAddress[];
  readonly counters: Readonly<Counters>;
  /** Closes the listening sockets; sessions go on. */
  stopAccepting(): void;
  sessions(): Iterable<SessionInfo>;
  /** Settles when no session is left. */
  ended(): Promise<void>;
  /** Ends all sessions at once. */
  cut(): void;
}
