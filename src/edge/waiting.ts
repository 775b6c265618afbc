/**
 * From a server of the configuration to an address that can be connected to: at once for an ordinary server, after its wake for an
 * app. The sessions that wait for one server are bounded (`maxqueue`), and so is their time (`timeout wake`).
 */
import type {BackendConfig, ServerConfig} from '../config/proxy-value.ts';
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
   * @param hold aborted by the caller when the client leaves, and here when the time is over
   * @throws CodedError ERR_QUEUE_FULL, ERR_WAKE_TIMEOUT, what `wake` threw, or the reason of `hold`
   */
  endpoint(
    client: {readonly kind: 'connection' | 'datagram'; readonly protocol: 'tcp' | 'udp'; readonly source: string},
    hold: AbortController,
  ): Promise<Endpoint>;
  /** Sessions that wait now. */
  readonly size: number;
}

function forAddress(backend: BackendConfig, server: ServerConfig, endpoint: Endpoint): Waiting {
  return {backend, server, size: 0, openSession: () => null, endpoint: () => Promise.resolve(endpoint)};
}

/** Settles with `wake`, or when `hold` is aborted, which happens here when the time is over, even if `wake` does not care about its signal. */
function withDeadline<T>(
  wake: (signal: AbortSignal) => Promise<T>,
  limits: {readonly hold: AbortController; readonly timeoutMs: number; readonly clock: Clock; readonly timedOut: () => CodedError},
): Promise<T> {
  const {hold, clock, timeoutMs} = limits;
  return new Promise<T>((resolve, reject) => {
    const cancel = clock.after(timeoutMs, () => hold.abort(limits.timedOut()));
    const leave = (): void => {
      cancel();
      reject(asError(hold.signal.reason));
    };
    const finish = (): void => {
      cancel();
      hold.signal.removeEventListener('abort', leave);
    };
    hold.signal.addEventListener('abort', leave);
    wake(hold.signal).then(
      (value) => {
        finish();
        resolve(value);
      },
      (error: unknown) => {
        finish();
        reject(asError(error));
      },
    );
  });
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
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
    async endpoint({kind, protocol, source}, hold) {
      if (size >= (server.maxqueue ?? Number.POSITIVE_INFINITY)) {
        throw new CodedError('ERR_QUEUE_FULL', `Cannot hold another session for app "${app}": ${size} wait already (maxqueue)`, {
          source: 'server',
          retryable: true,
        });
      }
      const trigger: Trigger = {kind, protocol, port, source};
      size++;
      try {
        const {host} = await withDeadline((until) => apps.wake(app, trigger, until), {hold, timeoutMs: backend.wakeTimeoutMs, clock, timedOut});
        return {host, port};
      } finally {
        size--;
      }
    },
  };
}

/** Chooses the server of each new session of a backend in turn. */
export function serversInTurn(backend: BackendConfig, apps: AppAccess, clock: Clock): () => Waiting {
  const servers = backend.servers.map((server) => {
    const {target} = server;
    if (target.kind === 'app') return forApp(backend, server, apps, clock);
    assert(target.kind === 'address', `Server "${server.name}" is a unix socket`);
    return forAddress(backend, server, {host: target.host, port: target.port});
  });
  let turn = 0;
  return () => {
    const chosen = servers[turn++ % servers.length];
    assert(chosen !== undefined, `Backend "${backend.name}" has no server`);
    return chosen;
  };
}
