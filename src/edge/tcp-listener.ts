/**
 * One listening TCP socket that can stop accepting without closing: connections then wait in the kernel's backlog, as HAProxy leaves
 * them at its limit. Node always accepts, so a pause keeps a duplicate of the descriptor and closes Node's server, and a resume
 * makes a new server of the duplicate.
 */
import {once} from 'node:events';
import {type AddressInfo, createServer, type Server, type Socket} from 'node:net';
import koffi from 'koffi';
import type {Bind} from '../config/proxy-value.ts';
import {assert, CodedError} from '../core/errors.ts';
import {close, errnoName, libc} from '../core/libc.ts';
import {bindError, bindHost} from './addresses.ts';

const fcntl = libc.func('int fcntl(int fd, int command, int argument)');
const duplicateCloseOnExec = 1030;
/** The kernel cuts it to net.core.somaxconn. */
const backlog = 65_535;
/** HAProxy's `option clitcpka` leaves it to the system, whose two hours are too long for a client that vanished. */
const keepAliveInitialDelay = 60_000;

export interface TcpListener extends Disposable {
  readonly host: string;
  readonly port: number;
  /** New connections stay in the backlog. Pausing twice is harmless, as is resuming. */
  pause(): void;
  resume(): void;
}

function descriptorOf(server: Server): number {
  const handle: unknown = '_handle' in server ? server._handle : null;
  const fd: unknown = typeof handle === 'object' && handle !== null && 'fd' in handle ? handle.fd : null;
  assert(typeof fd === 'number' && fd >= 0, 'A listening server has no descriptor');
  return fd;
}

function duplicate(fd: number): number {
  const copy: unknown = fcntl(fd, duplicateCloseOnExec, 0);
  assert(typeof copy === 'number', 'fcntl() returns a number');
  if (copy < 0) throw new CodedError('ERR_SYSTEM_CALL', `Cannot duplicate descriptor ${fd}: ${errnoName(koffi.errno())}`, {source: 'host'});
  return copy;
}

/**
 * Listens. `onConnection` gets sockets that nobody reads yet, never after `pause()` or dispose.
 * @throws CodedError ERR_BIND
 */
export async function openTcpListener(options: {
  readonly frontend: string;
  readonly bind: Bind;
  readonly ipv6Only: boolean;
  readonly onConnection: (client: Socket) => void;
  readonly onError: (error: Error) => void;
}): Promise<TcpListener> {
  const {frontend, bind} = options;
  let state: {readonly kind: 'open'; readonly server: Server} | {readonly kind: 'paused'; readonly fd: number} | {readonly kind: 'closed'};

  const newServer = (): Server => {
    const server = createServer({allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay}, (client) => {
      if (state.kind === 'open' && state.server === server) options.onConnection(client);
      // Accepted in the very turn in which it was paused or closed.
      else client.resetAndDestroy();
    });
    return server;
  };

  const first = newServer();
  first.listen({host: bindHost(bind), port: bind.port, backlog, ipv6Only: options.ipv6Only});
  try {
    await once(first, 'listening');
  } catch (error) {
    throw bindError(frontend, bind, error);
  }
  first.on('error', options.onError);
  state = {kind: 'open', server: first};
  const {address: host, port} = boundTo(first);
  return {
    host,
    port,
    pause() {
      if (state.kind !== 'open') return;
      const {server} = state;
      state = {kind: 'paused', fd: duplicate(descriptorOf(server))};
      server.close();
    },
    resume() {
      if (state.kind !== 'paused') return;
      const {fd} = state;
      const server = newServer();
      server.on('error', options.onError);
      state = {kind: 'open', server};
      server.listen({fd, backlog});
    },
    [Symbol.dispose]() {
      if (state.kind === 'open') state.server.close();
      if (state.kind === 'paused') close(state.fd);
      state = {kind: 'closed'};
    },
  };
}

function boundTo(server: Server): AddressInfo {
  const address = server.address();
  assert(address !== null && typeof address === 'object', 'A listening server has no address');
  return address;
}
