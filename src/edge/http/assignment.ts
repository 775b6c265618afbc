/** How an exchange gets its server: the balance, persistence, queues and wakes of a backend, as far as HTTP needs them. */

import type {ServerConfig} from '../../config/proxy-value.ts';
import type {AppName} from '../../core/ids.ts';
import type {Trigger} from '../../core/trigger.ts';
import type {Cuttable} from '../cuttable.ts';
import type {HeaderFields, SampleValue} from '../samples/context.ts';

export interface ServerEndpoint {
  readonly host: string;
  readonly port: number;
  /** Of a unix socket, instead of host and port; starts with a zero byte when it is abstract. */
  readonly path: string | null;
  /** The address that the connection must come from; it is no other request's then. */
  readonly from?: string | undefined;
}

export interface AssignRequest {
  /** The client's address. */
  readonly source: string;
  readonly http: {readonly uri: string; readonly headers: HeaderFields; readonly method?: string; readonly body?: Uint8Array | null};
  /** Of `balance hash`: what its expression yields. */
  readonly sample: SampleValue;
  /** Of a wake, without the app's port. */
  readonly trigger: Omit<Extract<Trigger, {readonly source: string}>, 'port'>;
  /** Servers to which the client belongs (`use-server`, cookie): the first one that is up is taken. */
  readonly preferred: readonly string[];
  /** The number of the server that a stick table has for the client, which is taken after those; null: it has none. */
  readonly stuckTo: number | null;
  /** A health check from outside, which wakes no app and keeps none awake. */
  readonly isProbe: boolean;
  /** Called when it begins to wait for a wake. */
  readonly held?: ((waking: {readonly app: AppName; readonly trigger: string}) => void) | undefined;
}

export interface SessionEnd {
  /** `server-error`: an answer that could not be used, or none. */
  readonly outcome: 'done' | 'client-abort' | 'server-abort' | 'server-error';
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Until the head of the answer; null: there was none. */
  readonly responseMs: number | null;
}

export interface AssignedServer {
  readonly server: {readonly config: ServerConfig; readonly id: number} | null;
  /** Another one after `retry`, as is `server`. */
  readonly endpoint: ServerEndpoint;
  /** Of a health check whose server is an app; one that is not awake is not reached, and has to be answered for. */
  readonly probed: {readonly app: AppName; readonly isAwake: boolean} | null;
  /**
   * It could not be connected to. Settles when it is to be tried again, after a pause.
   * @throws CodedError ERR_CONNECT when no attempt is left, what `assign` throws, or the reason of `signal`; it is released then
   */
  retry(cause: unknown, signal: AbortSignal): Promise<void>;
  connected(connectMs: number): void;
  response(status: number): void;
  /** It could not be connected to and is not tried again, or its answer could not be used: late, closed before anything came, or not HTTP. */
  failed(how: 'unconnected' | 'read-error' | 'closed' | 'late' | 'bad-head' | 'bad-body'): void;
  /** Who ends the session when the server must have none any more; null: nobody. */
  ends(session: Cuttable | null): void;
  /** The session with the app, if it is one, ends with it. A second time nothing happens. */
  release(end: SessionEnd): void;
}

/** The servers of a backend, with those that were added while it runs, and what their persistence cookies say. */
export interface BackendServers {
  named(name: string): ServerConfig | null;
  /** Null: the server has no cookie. */
  cookieOf(server: ServerConfig): string | null;
  havingCookie(value: string): readonly ServerConfig[];
}

export interface Assignment {
  servers(backend: string): BackendServers;
  /**
   * A server at once, where nothing has to be waited for.
   * @param signal asked for when something is: aborted when the client leaves
   * @throws CodedError, at once or later: ERR_QUEUE_FULL, ERR_QUEUE_TIMEOUT, ERR_WAKE_RATE, ERR_WAKE_FAILED, ERR_NO_SERVER, or the reason of `signal`
   */
  assign(backend: string, request: AssignRequest, signal: () => AbortSignal): AssignedServer | Promise<AssignedServer>;
}

/** Of what came out of a wait: a server, which has to be released by whoever does not want it. */
export function isAssigned(value: unknown): value is AssignedServer {
  return typeof value === 'object' && value !== null && 'release' in value;
}
