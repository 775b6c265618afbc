/** What `global` says about the process itself: its logs, its runtime API, its identity. Data only; whoever runs the gateway carries it out. */
import type {LogTarget} from './proxy-value.ts';
import type {SetVariable} from './rules.ts';

/** `stats socket`: where the runtime API answers. */
export interface StatsSocket {
  readonly address:
    | {readonly kind: 'unix'; readonly path: string; readonly abstract: boolean}
    | {readonly kind: 'tcp'; readonly host: string; readonly port: number}
    | {readonly kind: 'fd'; readonly fd: number};
  readonly level: 'user' | 'operator' | 'admin';
  /** Of the file: permission bits, owner and group; null: as the system makes it. */
  readonly mode: number | null;
  readonly user: string | null;
  readonly group: string | null;
  /** A new process may ask for the listening sockets. */
  readonly exposeListeners: boolean;
  readonly name: string | null;
}

export interface ProcessConfig {
  /** That serve frontends of modes tcp and http; thread-spread.ts says which. */
  readonly threads: number;
  readonly statsSockets: readonly StatsSocket[];
  /** How long a connection to the runtime API may be idle. */
  readonly statsTimeoutMs: number;
  readonly logs: readonly LogTarget[];
  /** What is kept of a body that rules wait for. */
  readonly bufferBytes: number;
  /** Of the process, in the order in which they are set. */
  readonly variables: readonly SetVariable[];
  readonly logTag: string;
  /** What logs and the statistics call this host; null: its own name. */
  readonly logHostname: string | null;
  /** `server-state-file`, and where paths of such files start; null: not said. */
  readonly serverStateFile: string | null;
  readonly serverStateBase: string | null;
  readonly node: string | null;
  readonly description: string | null;
  /** Names or numbers of who runs the process after start. */
  readonly user: string | null;
  readonly group: string | null;
  readonly daemon: boolean;
  readonly masterWorker: boolean;
  readonly pidFile: string | null;
  /** `ulimit-n`: how many descriptors it may have at least; null: as many as it is started with. */
  readonly openFiles: number | null;
  /** After a soft stop, when what is left is ended by force; null: never. */
  readonly hardStopAfterMs: number | null;
}
