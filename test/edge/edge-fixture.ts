/** An edge with real sockets around it: servers, clients, and an object in the place of the supervisor that wakes when it is told to. */
import {once} from 'node:events';
import {type AddressInfo, connect, createServer, type Socket} from 'node:net';
import {bareBackend, bareBind, bareFrontend, bareServer} from '../../src/config/proxy-defaults.ts';
import type {BackendConfig, Bind, FrontendConfig} from '../../src/config/proxy-value.ts';
import {systemClock} from '../../src/core/clock.ts';
import {type AppName, appName} from '../../src/core/ids.ts';
import {createLog} from '../../src/core/log.ts';
import type {Trigger} from '../../src/core/trigger.ts';
import type {AppAccess} from '../../src/edge/app-access.ts';
import {type Edge, openEdge} from '../../src/edge/edge.ts';

const position = {file: 'test.cfg', line: 1, column: 1};
export const blog = appName('blog');

/** Stands for the supervisor: every call of `wake` shares one result, which the test decides. */
export class FakeApps implements AppAccess {
  readonly triggers: Trigger[] = [];
  readonly aborted: Trigger[] = [];
  readonly busyChanges: boolean[] = [];
  sessions = 0;
  busy = 0;
  misses = 0;
  #result = Promise.withResolvers<{host: string}>();

  constructor(awake = false) {
    this.#result.promise.catch(() => {
      // A wake that fails before anybody waits for it.
    });
    if (awake) this.finish();
  }

  finish(host = '127.0.0.1'): void {
    this.#result.resolve({host});
  }

  fail(error: Error): void {
    this.#result.reject(error);
  }

  wake(_app: AppName, trigger: Trigger, signal: AbortSignal): Promise<{host: string}> {
    this.triggers.push(trigger);
    signal.addEventListener('abort', () => this.aborted.push(trigger));
    return this.#result.promise;
  }

  missed(): void {
    this.misses++;
  }

  session(): Disposable & {busy(value: boolean): void; reached(): void} {
    this.sessions++;
    let mine = false;
    const busy = (value: boolean): void => {
      if (value !== mine) this.busy += value ? 1 : -1;
      mine = value;
      this.busyChanges.push(value);
    };
    return {
      busy,
      reached: () => undefined,
      [Symbol.dispose]: () => {
        if (mine) this.busy--;
        this.sessions--;
      },
    };
  }
}

export interface EdgeSettings {
  readonly mode?: 'tcp' | 'udp';
  readonly binds?: readonly {readonly host: string; readonly port: number}[];
  readonly target: {readonly app?: boolean; readonly host?: string; readonly port: number};
  readonly apps?: AppAccess;
  readonly maxconn?: number;
  readonly maxqueue?: number;
  readonly clientTimeoutMs?: number;
  readonly serverTimeoutMs?: number;
  readonly connectTimeoutMs?: number;
  readonly wakeTimeoutMs?: number;
  /** Lines that the edge logs. */
  readonly logged?: unknown[];
}

export async function openTestEdge(settings: EdgeSettings): Promise<Edge & {readonly port: number}> {
  const {mode = 'tcp', target} = settings;
  const binds: Bind[] = (settings.binds ?? [{host: '127.0.0.1', port: 0}]).map((bind) => bareBind({...bind, protocol: mode, position}));
  const frontend: FrontendConfig = {
    ...bareFrontend({name: 'front', position}),
    mode,
    binds,
    defaultBackend: 'back',
    maxconn: settings.maxconn ?? 5000,
    clientTimeoutMs: settings.clientTimeoutMs ?? 60_000,
  };
  const backend: BackendConfig = {
    ...bareBackend({name: 'back', position}),
    mode,
    servers: [
      {
        ...bareServer({
          name: 's1',
          target: target.app === false ? {kind: 'address', host: target.host ?? '127.0.0.1', port: target.port} : {kind: 'app', app: blog, port: target.port},
          position,
        }),
        maxqueue: settings.maxqueue ?? 1024,
      },
    ],
    connectTimeoutMs: settings.connectTimeoutMs ?? 5000,
    serverTimeoutMs: settings.serverTimeoutMs ?? 60_000,
    wakeTimeoutMs: settings.wakeTimeoutMs ?? 10_000,
  };
  const log = createLog('silent');
  const {logged} = settings;
  if (logged !== undefined) log.warn = (line: unknown) => void logged.push(line);
  const edge = await openEdge({frontends: [frontend], backends: [backend], apps: settings.apps ?? new FakeApps(true), log, clock: systemClock});
  return Object.assign(edge, {port: edge.addresses()[0]?.port ?? 0});
}

export interface TestServer extends AsyncDisposable {
  readonly port: number;
  readonly sockets: ReadonlySet<Socket>;
}

export async function testServer(onConnection: (socket: Socket) => void, {port = 0, host = '127.0.0.1'} = {}): Promise<TestServer> {
  const sockets = new Set<Socket>();
  const server = createServer({allowHalfOpen: true}, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {
      // Resets are part of some tests.
    });
    onConnection(socket);
  });
  server.listen({port, host, backlog: 4096});
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

export const echo = (socket: Socket): void => void socket.pipe(socket);

export interface TestClient extends Disposable {
  readonly socket: Socket;
  /** What has come so far. */
  text(): string;
  /** Settles when the connection is over: undefined, or the code of its error. */
  readonly over: Promise<string | undefined>;
  /** Settles at the server's end of stream, with all that came. */
  readonly ended: Promise<string>;
}

export async function testClient(port: number, host = '127.0.0.1'): Promise<TestClient> {
  const socket = connect({port, host, allowHalfOpen: true, noDelay: true});
  let text = '';
  let failed: string | undefined;
  socket.on('error', (error: NodeJS.ErrnoException) => {
    failed = error.code;
  });
  const over = new Promise<string | undefined>((resolve) => void socket.once('close', () => resolve(failed)));
  const ended = new Promise<string>((resolve) => void socket.once('end', () => resolve(text)));
  await Promise.race([once(socket, 'connect'), over]).catch(() => {
    // Told by `over`: a reset may come before the connection is seen.
  });
  socket.on('data', (data: Buffer) => {
    text += data.toString('latin1');
  });
  return {socket, text: () => text, over, ended, [Symbol.dispose]: () => void socket.destroy()};
}
