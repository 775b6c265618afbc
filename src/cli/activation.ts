/**
 * Socket activation (sd_listen_fds(3)): sockets that systemd has opened, and keeps over our restarts, so that clients wait in their backlog
 * meanwhile. A `bind` with the same address gets such a socket instead of one of its own; `bind fd@N` gets one by its number.
 */
import {canonicalHost} from '../config/address.ts';
import type {Bind} from '../config/proxy-value.ts';
import type {Config} from '../config/value.ts';
import {setCloseOnExec, socketType} from '../core/libc.ts';
import type {Log} from '../core/log.ts';
import {addressText} from '../edge/address-text.ts';
import {bindHost, showAddress} from '../edge/addresses.ts';
import {boundAddress, socketTypeOf} from '../edge/datagrams/datagram-calls.ts';
import {family} from '../edge/socket-address.ts';

export interface GivenSocket {
  readonly fd: number;
  /** As `bindKey()` has it. */
  readonly key: string;
}

const firstFd = 3;

/**
 * Takes the sockets that this process was started with, if any, and the variables that tell of them, so that programs started from here have neither.
 * @throws SystemCallError for a descriptor that is no socket
 */
export function takeGivenSockets(environment: NodeJS.ProcessEnv): readonly GivenSocket[] {
  const {LISTEN_PID: pid, LISTEN_FDS: count} = environment;
  delete environment['LISTEN_PID'];
  delete environment['LISTEN_FDS'];
  delete environment['LISTEN_FDNAMES'];
  if (count === undefined || Number(pid) !== process.pid) return [];
  const fds = Array.from({length: Number(count)}, (_, index) => firstFd + index);
  for (const fd of fds) setCloseOnExec(fd);
  return fds.map((fd) => ({fd, key: socketKey(fd)}));
}

function socketKey(fd: number): string {
  const protocol = socketTypeOf(fd) === socketType.datagram ? 'udp' : 'tcp';
  const address = boundAddress(fd);
  if (address.readUInt16LE(0) !== family.unix) {
    const {host, port} = addressText(address);
    return `${protocol} ${showAddress(canonicalHost(host), port)}`;
  }
  const path = address.subarray(2);
  // The name of an abstract socket begins with a zero, and HAProxy fills it up with zeros.
  return path[0] === 0 ? `${protocol} abns@${textOf(path.subarray(1))}` : `${protocol} ${textOf(path)}`;
}

function textOf(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
}

function bindKey(bind: Bind): string {
  if (bind.unix !== null) return `${bind.protocol} ${bind.unix.abstract ? 'abns@' : ''}${bind.unix.path}`;
  return `${bind.protocol} ${showAddress(canonicalHost(bindHost(bind)), bind.port)}`;
}

/** The configuration with the sockets that were given; tells of those that belong to no `bind`. */
export function withGivenSockets(config: Config, given: readonly GivenSocket[], log: Log): Config {
  if (given.length === 0) return config;
  const byKey = new Map(given.map(({fd, key}) => [key, fd]));
  const used = new Set<number>();
  const withSocket = (bind: Bind): Bind => {
    const inheritedFd = bind.inheritedFd ?? byKey.get(bindKey(bind)) ?? null;
    if (inheritedFd !== null) used.add(inheritedFd);
    return {...bind, inheritedFd};
  };
  const frontends = config.frontends.map((frontend) => (frontend.mode === 'nat' ? frontend : {...frontend, binds: frontend.binds.map(withSocket)}));
  for (const {fd, key} of given) if (!used.has(fd)) log.warn({socket: key}, 'systemd has a socket that belongs to no bind; nobody accepts its clients');
  return {...config, frontends};
}
