/**
 * The sockets on which this process listens, by address. Frontends of two generations of the configuration share them: the new generation
 * takes a descriptor of the same socket before the old one gives its own back, so that the kernel never has a moment in which nobody
 * listens, and what is in the backlog is accepted by whoever comes first. A socket that nobody has any more is closed.
 *
 * They are made here and not by Node, which cannot set what a bind may ask for.
 */

import {lookup} from 'node:dns/promises';
import {chmodSync, chownSync, lstatSync, renameSync, rmSync} from 'node:fs';
import {isIPv6} from 'node:net';
import type {Bind, UnixSocket} from '../config/proxy-value.ts';
import {groupNumber, userNumber} from '../core/accounts.ts';
import {CodedError, errorCode} from '../core/errors.ts';
import {bindSocket, close, duplicate, errnoName, listenSocket, SystemCallError, setSocketOption, socket, socketType} from '../core/libc.ts';
import {bindError, bindHost} from './addresses.ts';
import {type DatagramSockets, openDatagramSockets} from './datagram-sockets.ts';
import type {OldSockets} from './old-sockets.ts';
import {family, ipv4SocketAddress, ipv6SocketAddress, unixSocketAddress} from './socket-address.ts';

/** The kernel cuts it to net.core.somaxconn. */
const defaultBacklog = 65_535;

const level = {socket: 1, ipv4: 0, ipv6: 41} as const;
const option = {reuseAddress: 2, bindToDevice: 25, reusePort: 15, ipv4Transparent: 19, ipv6Transparent: 75, ipv6Only: 26} as const;

export interface SharedSocket extends Disposable {
  /** Listens. It belongs to the one who asked for it, who closes it; disposing tells that the socket itself is not used any more. */
  readonly fd: number;
  readonly backlog: number;
  /** Another generation of this thread, or another process, may have the socket too: it takes what is in the backlog. */
  readonly hasOthers: boolean;
  /** The thread that made it, too, stops listening and listens again, for all: the kernel does not forgive it twice. */
  readonly isElsewhere?: boolean;
}

/** To another process. */
export interface HandedOverSocket {
  readonly fd: number;
  /** Of the network; null: all. */
  readonly interface: string | null;
}

export interface Taking {
  readonly frontend: string;
  readonly bind: Bind;
  readonly ipv6Only: boolean;
  /** It is for another thread, which follows what this one does with the socket. */
  readonly forThread?: boolean;
}

export interface ListeningSockets {
  /**
   * A descriptor of the socket that listens there: of the one that is open already, else of a new one.
   * @throws CodedError ERR_BIND
   */
  take(options: Taking): Promise<SharedSocket>;
  /** How many are open. */
  readonly size: number;
  readonly datagrams: DatagramSockets;
}

/** Of the process, and not of one of its threads. */
export interface ProcessSockets extends ListeningSockets {
  /** Those that another process may use from now on beside this one. The descriptors stay ours. */
  handOver(): readonly HandedOverSocket[];
}

interface Entry extends HandedOverSocket {
  users: number;
  /** Of these. */
  threadUsers: number;
  isHandedOver: boolean;
  readonly remove: () => void;
}

/** @param old of the process that this one replaces */
export function openListeningSockets(old: OldSockets | null = null): ProcessSockets {
  const entries = new Map<string, Entry>();
  /** So that two who ask for one address at a time do not both make it. */
  const beginning = new Map<string, Promise<Entry>>();

  const share = (key: string | null, entry: Entry, {backlog, forThread}: {readonly backlog: number; readonly forThread: boolean}): SharedSocket => {
    const fd = duplicate(entry.fd);
    entry.users++;
    if (forThread) entry.threadUsers++;
    let used = true;
    return {
      fd,
      backlog,
      get hasOthers() {
        return entry.users - entry.threadUsers > 1 || entry.isHandedOver;
      },
      [Symbol.dispose]() {
        if (!used) return;
        used = false;
        entry.users--;
        if (forThread) entry.threadUsers--;
        if (entry.users > 0) return;
        if (key !== null) entries.delete(key);
        close(entry.fd);
        if (!entry.isHandedOver) entry.remove();
      },
    };
  };

  return {
    datagrams: openDatagramSockets(),
    get size() {
      return entries.size;
    },
    handOver() {
      for (const entry of entries.values()) entry.isHandedOver = true;
      return [...entries.values()];
    },
    async take({frontend, bind, ipv6Only, forThread = false}) {
      const backlog = bind.backlog ?? defaultBacklog;
      const use = {backlog, forThread};
      const open = async (): Promise<Entry> => {
        try {
          return {users: 0, threadUsers: 0, isHandedOver: false, interface: bind.interface, ...(await makeSocket({bind, ipv6Only, backlog, old}))};
        } catch (error) {
          throw bindError(frontend, bind, namedError(error));
        }
      };
      const key = keyOf(bind, ipv6Only);
      // Any free port is another one each time.
      if (key === null) return share(null, await open(), use);
      const known = entries.get(key);
      if (known !== undefined) return share(key, known, use);
      const entry = await (beginning.get(key) ?? begin(beginning, key, open));
      entries.set(key, entry);
      return share(key, entry, use);
    },
  };
}

async function begin(beginning: Map<string, Promise<Entry>>, key: string, open: () => Promise<Entry>): Promise<Entry> {
  const opened = open();
  beginning.set(key, opened);
  try {
    return await opened;
  } finally {
    beginning.delete(key);
  }
}

/** Binds with the same key can have the same socket; null: nobody else can have it. */
function keyOf(bind: Bind, ipv6Only: boolean): string | null {
  if (bind.inheritedFd !== null) return `fd@${bind.inheritedFd}`;
  if (bind.unix !== null) return `${bind.unix.abstract ? 'abns' : 'unix'}@${bind.unix.path} ${bind.unix.mode} ${bind.unix.user} ${bind.unix.group}`;
  if (bind.port === 0) return null;
  return [bindHost(bind), bind.port, ipv6Only, bind.v6only, bind.transparent, bind.interface].join(' ');
}

interface Making {
  readonly bind: Bind;
  readonly ipv6Only: boolean;
  readonly backlog: number;
  readonly old: OldSockets | null;
}

async function makeSocket(making: Making): Promise<Pick<Entry, 'fd' | 'remove'>> {
  const {bind, backlog, old} = making;
  // The number stays ours, so that the next configuration can name it again.
  if (bind.inheritedFd !== null) return {fd: listening(duplicate(bind.inheritedFd), backlog), remove: () => undefined};
  if (bind.unix !== null) return makeUnixSocket(bind.unix, backlog, old);
  const {address} = await lookup(bindHost(bind));
  return {fd: makeInternetSocket(address, making), remove: () => undefined};
}

function listening(fd: number, backlog: number, prepare: () => void = () => undefined): number {
  try {
    prepare();
    listenSocket(fd, backlog);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

function streamSocket(domain: number): number {
  return socket(domain, socketType.stream | socketType.closeOnExec | socketType.nonBlocking, 0);
}

function makeInternetSocket(host: string, {bind, ipv6Only, backlog, old}: Making): number {
  const v6 = isIPv6(host);
  const v6only = v6 && (bind.v6only ?? ipv6Only);
  const address = v6 ? ipv6SocketAddress(host, bind.port) : ipv4SocketAddress(host, bind.port);
  const {transparent} = bind;
  const known = old?.take({address, interface: bind.interface, v6only, transparent}) ?? null;
  if (known !== null) return listening(known, backlog);
  const fd = streamSocket(v6 ? family.ipv6 : family.ipv4);
  return listening(fd, backlog, () => {
    setSocketOption(fd, level.socket, option.reuseAddress, 1);
    // As HAProxy: a new process can listen beside the one that it replaces.
    setSocketOption(fd, level.socket, option.reusePort, 1);
    if (v6) setSocketOption(fd, level.ipv6, option.ipv6Only, v6only ? 1 : 0);
    if (transparent) setSocketOption(fd, v6 ? level.ipv6 : level.ipv4, v6 ? option.ipv6Transparent : option.ipv4Transparent, 1);
    if (bind.interface !== null) setSocketOption(fd, level.socket, option.bindToDevice, bind.interface);
    bindSocket(fd, address);
  });
}

/** Under another name first, so that nobody connects before the file has its owner and mode, and the old file is replaced at once. */
function makeUnixSocket({path, abstract, mode, user, group}: UnixSocket, backlog: number, old: OldSockets | null): Pick<Entry, 'fd' | 'remove'> {
  const address = unixSocketAddress(path, {abstract});
  const known = old?.take({address, interface: null, v6only: false, transparent: false}) ?? null;
  if (known !== null) return {fd: listening(known, backlog), remove: abstract ? () => undefined : removal(path)};
  const fd = streamSocket(family.unix);
  if (abstract) return {fd: listening(fd, backlog, () => bindSocket(fd, address)), remove: () => undefined};
  const temporary = `${path}.${process.pid}.tmp`;
  listening(fd, backlog, () => {
    refuseOtherFiles(path);
    rmSync(temporary, {force: true});
    const umask = process.umask(0o077);
    try {
      bindSocket(fd, unixSocketAddress(temporary, {abstract}));
    } finally {
      process.umask(umask);
    }
    if (user !== null || group !== null) chownSync(temporary, user === null ? -1 : userNumber(user), group === null ? -1 : groupNumber(group));
    chmodSync(temporary, mode ?? 0o777 & ~umask);
    renameSync(temporary, path);
  });
  return {fd, remove: removal(path)};
}

/** Of the file that is there now, and of no other. */
function removal(path: string): () => void {
  const {ino} = lstatSync(path);
  return () => {
    if (lstatSync(path, {throwIfNoEntry: false})?.ino === ino) rmSync(path, {force: true});
  };
}

function refuseOtherFiles(path: string): void {
  const found = lstatSync(path, {throwIfNoEntry: false});
  if (found?.isSocket() === false) throw new CodedError('ERR_NOT_A_SOCKET', 'there is a file that is no socket', {source: 'client'});
}

/** With the errno as its code, as Node's errors have it. */
function namedError(error: unknown): unknown {
  if (!(error instanceof SystemCallError) || errorCode(error) !== 'ERR_SYSTEM_CALL') return error;
  return new CodedError(errnoName(error.errno), `${error.call}: ${errnoName(error.errno)}`, {source: 'host', cause: error});
}
