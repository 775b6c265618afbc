/** What the first thread, which has the apps, the checks and the runtime API, and the other threads of the edge say to each other. */
import type {MessagePort} from 'node:worker_threads';
import type {Bind, FrontendConfig, ServerConfig} from '../../config/proxy-value.ts';
import type {Config} from '../../config/value.ts';
import type {AppName} from '../../core/ids.ts';
import type {LogForm} from '../../core/log.ts';
import type {Trigger} from '../../core/trigger.ts';
import type {NamedServerCopy} from '../../edge/pool/server-copy.ts';
import type {SampleValue} from '../../edge/samples/context.ts';
import type {PatternChange} from '../../edge/samples/pattern-change.ts';
import type {GenerationSnapshot} from './thread-snapshot.ts';

/** What a thread begins with. */
export interface ThreadData {
  /** From 1 on: the first thread is 0. */
  readonly index: number;
  readonly port: MessagePort;
  /** See edge/numbers.ts. */
  readonly numbers: SharedArrayBuffer;
  /** See SessionLimit. */
  readonly sessions: SharedArrayBuffer;
  readonly maxconn: number;
  readonly ticketKeys: Uint8Array;
  readonly log: {readonly level: string; readonly form: LogForm};
}

/** The part of a configuration that a thread serves. */
export interface ThreadConfig extends Pick<Config, 'backends' | 'userlists' | 'resolvers'> {
  readonly frontends: readonly FrontendConfig[];
  /** How many there are, with the first. */
  readonly threads: number;
  readonly process: Config['global']['process'];
}

/** A change that an operator has made to what runs; the first thread has made it already. */
export type Change =
  | {readonly what: 'frontend'; readonly frontend: string; readonly to: 'paused' | 'resumed' | 'stopped'}
  | {readonly what: 'frontend-maxconn'; readonly frontend: string; readonly maxconn: number}
  | {readonly what: 'patterns'; readonly change: PatternChange}
  | {readonly what: 'variable'; readonly name: string; readonly value: SampleValue}
  | {readonly what: 'certificate'; readonly path: string; readonly pem: string}
  | {readonly what: 'ticket-key'; readonly path: string; readonly key: Uint8Array}
  | {readonly what: 'cookies'; readonly backend: string; readonly key?: string; readonly isOn?: boolean}
  | {readonly what: 'shut-server'; readonly backend: string; readonly server: string}
  | {readonly what: 'clear'; readonly scope: 'maxima' | 'all'};

/** To a thread. `generation` is that of a configuration. */
export type ToThread =
  | {
      readonly kind: 'open';
      readonly generation: number;
      readonly config: ThreadConfig;
      readonly copies: readonly NamedServerCopy[];
      /** Null: there is nobody who knows, as there are no apps. */
      readonly awake: readonly AppName[] | null;
    }
  | {readonly kind: 'stop-accepting'; readonly generation: number}
  | {readonly kind: 'close'; readonly generation: number}
  | {readonly kind: 'drain'; readonly generation: number; readonly deadlineMs: number}
  | {readonly kind: 'server'; readonly generation: number; readonly server: NamedServerCopy}
  | {readonly kind: 'server-added'; readonly generation: number; readonly backend: string; readonly config: ServerConfig}
  | {readonly kind: 'server-removed'; readonly generation: number; readonly backend: string; readonly server: string}
  | {readonly kind: 'change'; readonly generation: number; readonly change: Change}
  /** Of all generations. */
  | {readonly kind: 'cut'; readonly session: number}
  | {readonly kind: 'awake'; readonly app: AppName; readonly awake: boolean}
  /** Answered with where sessions with apps lead to (AppAt), and told those that have no other end any more. */
  | {readonly kind: 'places'}
  | {readonly kind: 'moved'; readonly over: readonly AppAt[]}
  | {readonly kind: 'maxconn'; readonly maxconn: number}
  /** All threads together have reached their `maxconn`, or have room again. */
  | {readonly kind: 'limit'}
  | {readonly kind: 'snapshot'; readonly sessions: boolean}
  | {readonly kind: 'end'};

export interface AppAt {
  readonly app: AppName;
  readonly host: string;
}

/** Of a thread. Its sessions with apps have numbers of its own. */
export type FromThread =
  | {readonly kind: 'take'; readonly frontend: string; readonly bind: Bind; readonly ipv6Only: boolean}
  | {readonly kind: 'release'; readonly socket: number}
  | {readonly kind: 'wake'; readonly app: AppName; readonly trigger: Trigger}
  | {readonly kind: 'missed'; readonly app: AppName}
  | {readonly kind: 'session'; readonly session: number; readonly app: AppName}
  | {readonly kind: 'busy'; readonly session: number; readonly busy: boolean}
  | {readonly kind: 'reached' | 'over'; readonly session: number}
  | {readonly kind: 'limit'}
  | {readonly kind: 'failed'; readonly error: string};

/** A listening socket: its number for `release`, and a descriptor that is the thread's. */
export interface TakenSocket {
  readonly socket: number;
  readonly fd: number;
  readonly backlog: number;
}

export interface ThreadSnapshot {
  readonly generations: readonly GenerationSnapshot[];
  readonly sessionRate: number;
  readonly sessionRateMax: number;
}
