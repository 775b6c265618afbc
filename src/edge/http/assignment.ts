/** How an exchange gets its server: the balance, persistence, queues and wakes of a backend, as far as HTTP needs them. */
import type {BackendConfig, ServerConfig} from '../../config/proxy-value.ts';
import type {SampleContext} from '../samples/context.ts';

export type ServerEndpoint =
  | {readonly kind: 'address'; readonly host: string; readonly port: number}
  | {readonly kind: 'unix'; readonly path: string; readonly abstract: boolean};

export interface AssignTrigger {
  readonly source: string;
  readonly listenerPort: number;
  readonly sni: string | null;
  readonly method: string;
  readonly path: string;
}

export interface AssignRequest {
  readonly context: SampleContext;
  readonly backend: BackendConfig;
  /** Of `use-server`: it, if it is up. */
  readonly designated: ServerConfig | null;
  /** Of the persistence cookie: it, if it can be used. */
  readonly persistent: ServerConfig | null;
  /** Failed just now: another one, if there is one. */
  readonly avoid: ServerConfig | null;
  /** What becomes part of the trigger, if an app has to be woken; made when it is asked for. */
  readonly trigger: AssignTrigger;
  /** Aborted when the client leaves. Made when it is asked for, which costs. */
  readonly signal: AbortSignal;
}

/** How the use of a server ended: for health, statistics and the places that are free again. */
export type Outcome = 'done' | 'connect-failed' | 'response-failed' | 'aborted';

export interface AssignedServer {
  readonly server: ServerConfig;
  readonly endpoint: ServerEndpoint;
  /** Exactly once. The session with the app, if it is one, ends with it. */
  release(outcome: Outcome): void;
}

export interface Assignment {
  /**
   * At once where nothing has to be waited for.
   * @throws CodedError ERR_QUEUE_FULL, ERR_QUEUE_TIMEOUT, ERR_WAKE_TIMEOUT and what waking throws, ERR_NO_SERVER, or the reason of `signal`
   */
  assign(request: AssignRequest): AssignedServer | Promise<AssignedServer>;
}
