/** `stats socket`: where the runtime API listens. */
import {once} from 'node:events';
import {chmod, chown, lstat, rename, rm} from 'node:fs/promises';
import {createServer, type ListenOptions, type Server, type Socket} from 'node:net';
import type {Clock} from '../core/clock.ts';
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import type {Level, StatsSocketFacts} from './command.ts';
import type {GatewayControl} from './gateway-control.ts';
import {serveStatsConnection} from './stats-connection.ts';

export type StatsAddress =
  | {
      readonly kind: 'unix';
      /** An absolute path; with `abstract`, a name of Linux' own name space. */
      readonly path: string;
      readonly abstract: boolean;
      /** Of the file; null: as the system makes it. */
      readonly mode: number | null;
      readonly uid: number | null;
      readonly gid: number | null;
    }
  | {readonly kind: 'tcp'; readonly host: string; readonly port: number}
  /** A descriptor that listens already. */
  | {readonly kind: 'fd'; readonly fd: number};

export interface StatsSocketOptions {
  readonly address: StatsAddress;
  readonly level: Level;
  /** `expose-fd listeners` */
  readonly exposesListeners: boolean;
  /** `stats timeout`: how long a client may be silent. */
  readonly timeoutMs: number;
  /** `stats maxconn`: clients at a time; HAProxy's default is 10. */
  readonly maxconn: number;
  /** `> ` by default; `master> ` on the master's socket. */
  readonly prompt?: string;
  readonly control: GatewayControl;
  /** What `show cli sockets` lists. */
  readonly sockets: readonly StatsSocketFacts[];
  readonly clock: Clock;
}

export interface StatsSocket extends AsyncDisposable {
  readonly facts: StatsSocketFacts;
  /** Where it really listens; null for a unix socket. */
  readonly port: number | null;
}

/** As `show cli sockets` has it. */
export function showStatsAddress(address: StatsAddress): string {
  switch (address.kind) {
    case 'unix':
      return `${address.abstract ? 'abns' : 'unix'}@${address.path}`;
    case 'tcp':
      return address.host.includes(':') ? `ipv6@[${address.host}]:${address.port}` : `ipv4@${address.host === '' ? '0.0.0.0' : address.host}:${address.port}`;
    case 'fd':
      return `fd@${address.fd}`;
    default:
      return address satisfies never;
  }
}

/**
 * Listens until it is disposed; clients that are there then are cut.
 * @throws CodedError ERR_BIND
 */
export async function openStatsSocket(options: StatsSocketOptions): Promise<StatsSocket> {
  const {address, level} = options;
  const clients = new Set<Socket>();
  const server = createServer({allowHalfOpen: true}, (socket) => {
    clients.add(socket);
    socket.once('close', () => clients.delete(socket));
    // Whoever reads or writes it finds out.
    socket.on('error', () => undefined);
    void serveStatsConnection({...options, prompt: options.prompt ?? '> ', socket});
  });
  server.maxConnections = options.maxconn;
  let removeFile: () => Promise<void> = async () => undefined;
  try {
    if (address.kind === 'unix' && !address.abstract) removeFile = await listenOnFile(server, address);
    else await listen(server, listenOptions(address));
  } catch (error) {
    server.close();
    throw new CodedError('ERR_BIND', `Cannot bind stats socket "${showStatsAddress(address)}": ${bindReason(error)}`, {source: 'host', cause: error});
  }
  const bound = server.address();
  return {
    facts: {address: showStatsAddress(address), level},
    port: bound !== null && typeof bound === 'object' ? bound.port : null,
    async [Symbol.asyncDispose]() {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      for (const client of clients) client.destroy();
      await removeFile();
      await closed;
    },
  };
}

function listenOptions(address: StatsAddress): ListenOptions & {readonly fd?: number} {
  switch (address.kind) {
    case 'unix':
      return {path: `\0${address.path}`};
    case 'tcp':
      return {host: address.host === '' ? '0.0.0.0' : address.host, port: address.port};
    case 'fd':
      return {fd: address.fd};
    default:
      return address satisfies never;
  }
}

async function listen(server: Server, where: ListenOptions & {readonly fd?: number}): Promise<void> {
  server.listen(where);
  await once(server, 'listening');
}

/**
 * Listens under another name first, so that nobody can connect before the file has its owner and mode, and the one that was there
 * is replaced at once.
 * @returns what removes the file, if it is still this one
 */
async function listenOnFile(server: Server, {path, mode, uid, gid}: Extract<StatsAddress, {kind: 'unix'}>): Promise<() => Promise<void>> {
  const found = await lstat(path).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  });
  if (found !== null && !found.isSocket()) throw new CodedError('ERR_NOT_A_SOCKET', 'there is a file that is no socket', {source: 'client'});
  const temporary = `${path}.${process.pid}.tmp`;
  await rm(temporary, {force: true});
  const umask = process.umask(0o077);
  try {
    server.listen({path: temporary});
  } finally {
    process.umask(umask);
  }
  await once(server, 'listening');
  try {
    if (uid !== null || gid !== null) await chown(temporary, uid ?? -1, gid ?? -1);
    await chmod(temporary, mode ?? 0o777 & ~umask);
    const {ino} = await lstat(temporary);
    await rename(temporary, path);
    return async () => {
      const now = await lstat(path).catch(() => null);
      if (now?.ino === ino) await rm(path, {force: true});
    };
  } catch (error) {
    await rm(temporary, {force: true});
    throw error;
  }
}

function bindReason(error: unknown): string {
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: 'the address is in use',
    // Node says the same of a directory that does not exist.
    EACCES: 'no permission, or no such directory',
    ENOENT: 'no such directory',
    EADDRNOTAVAIL: 'this host has no such address',
  };
  return reasons[errorCode(error) ?? ''] ?? errorMessage(error);
}
