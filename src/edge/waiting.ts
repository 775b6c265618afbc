/**
 * From a server of the configuration to an address that can be connected to: at once for an ordinary server, after its wake for an
 * app. The sessions that wait for one server are bounded (`maxqueue`), and so is their time (`timeout wake`).
 */
import type {BackendConfig, ServerConfig} from '../config/value.ts';
import type {Clock} from '../core/clock.ts';
import {assert, CodedError} from '../core/errors.ts';
import type {Trigger} from '../core/trigger.ts';
import type {AppAccess, SessionHandle} from './app-access.ts';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** One server of a backend, with the sessions that wait for it. */
export interface Waiting {
  readonly server: ServerConfig;
  readonly backend: BackendConfig;
  /** Null for an ordinary server: nobody cares about its sessions. */
  openSession(): SessionHandle | null;
  /**
   * Where to connect. Rejects at once when too many wait.
   * @param client makes the trigger of a wake
   * @throws CodedError ERR_QUEUE_FULL, ERR_WAKE_TIMEOUT, or what `wake` threw; the reason of `signal`
   */
  endpoint(
    client: {readonly kind: 'connection' | 'datagram'; readonly protocol: 'tcp' | 'udp'; readonly source: string},
    signal: AbortSignal,
  ): Promise<Endpoint>;
  /** Sessions that wait now. */
  readonly size: number;
}

function forAddress(backend: BackendConfig, server: ServerConfig, endpoint: Endpoint): Waiting {
  return {backend, server, size: 0, openSession: () => null, endpoint: () => Promise.resolve(endpoint)};
}

/** Settles with `wake`, or when `signal` aborts or the time is over, even if `wake` does not care about its signal. */
function withDeadline<T>(
  wake: (signal: AbortSignal) => Promise<T>,
  limits: {readonly signal: AbortSignal; readonly timeoutMs: number; readonly clock: Clock; readonly timedOut: () => CodedError},
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const control = new AbortController();
    const finish = (): void => {
      cancel();
      limits.signal.removeEventListener('abort', leave);
    };
    const give = (error: Error): void => {
      finish();
      control.abort(error);
      reject(error);
    };
    const leave = (): void =>
      give(limits.signal.reason instanceof Error ? limits.signal.reason : new CodedError('ERR_ABANDONED', 'The client has left', {source: 'client'}));
    const cancel = limits.clock.after(limits.timeoutMs, () => give(limits.timedOut()));
    limits.signal.addEventListener('abort', leave, {once: true});
    wake(control.signal).then(
      (value) => {
        finish();
        resolve(value);
      },
      (error: unknown) => {
        finish();
        reject(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
}

function forApp(backend: BackendConfig, server: ServerConfig, apps: AppAccess, clock: Clock): Waiting {
  const {target} = server;
  assert(target.kind === 'app', `Server "${server.name}" is not an app`);
  const {app, port} = target;
  let size = 0;
  const timedOut = (): CodedError =>
    new CodedError('ERR_WAKE_TIMEOUT', `Cannot wake app "${app}": not ready within ${backend.wakeTimeoutMs} ms`, {source: 'server', retryable: true});
  return {
    backend,
    server,
    get size() {
      return size;
    },
    openSession: () => apps.session(app),
    async endpoint({kind, protocol, source}, signal) {
      if (size >= server.maxqueue) {
        throw new CodedError('ERR_QUEUE_FULL', `Cannot hold another session for app "${app}": ${size} wait already (maxqueue)`, {
          source: 'server',
          retryable: true,
        });
      }
      const trigger: Trigger = {kind, protocol, port, source};
      size++;
      try {
        const {host} = await withDeadline((until) => apps.wake(app, trigger, until), {signal, timeoutMs: backend.wakeTimeoutMs, clock, timedOut});
        return {host, port};
      } finally {
        size--;
      }
    },
  };
}

/** Chooses the server of each new session of a backend in turn. */
export function serversInTurn(backend: BackendConfig, apps: AppAccess, clock: Clock): () => Waiting {
  const servers = backend.servers.map((server) =>
    server.target.kind === 'app' ? forApp(backend, server, apps, clock) : forAddress(backend, server, {host: server.target.host, port: server.target.port}),
  );
  let turn = 0;
  return () => {
    const chosen = servers[turn++ % servers.length];
    assert(chosen !== undefined, `Backend "${backend.name}" has no server`);
    return chosen;
  };
}
