/** Connections to servers: begun here; 'connect' or 'error' of the socket tells what came of them. */
import {lookup} from 'node:dns';
import {isIP} from 'node:net';
import {constants} from 'node:os';
import {bindSocket, close, SystemCallError, setSocketOption, socket, socketType} from '../../core/libc.ts';
import {showAddress} from '../addresses.ts';
import {tryConnect} from '../datagrams/datagram-calls.ts';
import {ErrnoError} from '../polling/errno-error.ts';
import type {Endpoint} from '../pool/assignment.ts';
import {asError} from '../pool/hold.ts';
import {family, ipv4SocketAddress, ipv6SocketAddress, unixSocketAddress} from '../socket-address.ts';
import {prepareStream, type SocketEnd} from './stream-calls.ts';
import {StreamSocket} from './stream-socket.ts';

const {EAFNOSUPPORT, EINPROGRESS} = constants.errno;
const level = {ipv4: 0, socket: 1} as const;
const option = {reuseAddress: 2, bindAddressNoPort: 24} as const;

export interface ConnectRequest {
  readonly endpoint: Endpoint;
  /** Where it comes from; null: where the system sends it from. */
  readonly source: {readonly host: string; readonly port: number | null} | null;
  readonly keepAlive: boolean;
}

interface Target {
  readonly domain: number;
  readonly address: Buffer;
  readonly peer: SocketEnd | null;
  readonly shown: string;
}

/** The addresses of a name are tried one after the other. */
export function connectStream(request: ConnectRequest): StreamSocket {
  const stream = new StreamSocket(null);
  const {host, port, path} = request.endpoint;
  const known = knownTargets.get(path ?? host)?.get(port);
  if (known !== undefined) attempt(stream, request, () => known, alone);
  else if (path !== null) attempt(stream, request, () => keep(path, port, unixTarget(path)), alone);
  else if (isIP(host.split('%', 1)[0] ?? '') !== 0) attempt(stream, request, () => keep(host, port, internetTarget(host, port)), alone);
  else {
    lookup(host, {all: true}, (error, addresses) => {
      if (stream.destroyed) return;
      if (error === null) attemptAll(stream, request, addresses);
      else stream.destroy(error);
    });
  }
  return stream;
}

const alone = (): boolean => false;

function attemptAll(stream: StreamSocket, request: ConnectRequest, addresses: readonly {readonly address: string}[]): void {
  const left = [...addresses];
  const next = (): boolean => {
    const found = left.shift();
    if (found === undefined) return false;
    attempt(stream, request, () => internetTarget(found.address, request.endpoint.port), next);
    return true;
  };
  next();
}

/** By host or path, and port: servers are few, and connected to again and again. */
const knownTargets = new Map<string, Map<number, Target>>();
const maxKnownHosts = 1000;

function keep(name: string, port: number, target: Target): Target {
  if (knownTargets.size >= maxKnownHosts) knownTargets.clear();
  const ofName = knownTargets.get(name) ?? new Map<number, Target>();
  knownTargets.set(name, ofName.set(port, target));
  return target;
}

function unixTarget(path: string): Target {
  const abstract = path.startsWith('\0');
  const name = abstract ? path.slice(1) : path;
  return {domain: family.unix, address: unixSocketAddress(name, {abstract}), peer: null, shown: name};
}

function internetTarget(host: string, port: number): Target {
  const common = {peer: {host, port}, shown: showAddress(host, port)};
  return isIP(host) === 4
    ? {domain: family.ipv4, address: ipv4SocketAddress(host, port), ...common}
    : {domain: family.ipv6, address: ipv6SocketAddress(host, port), ...common};
}

function attempt(stream: StreamSocket, request: ConnectRequest, targetOf: () => Target, next: () => boolean): void {
  let fd = -1;
  try {
    const {domain, address, peer, shown} = targetOf();
    fd = socket(domain, socketType.stream | socketType.closeOnExec | socketType.nonBlocking, 0);
    if (domain !== family.unix) prepareInternet(fd, domain, request);
    const result = tryConnect(fd, address);
    if (result < 0 && result !== -EINPROGRESS) throw new ErrnoError('connect', -result, shown);
    stream.attempt({fd, peer, to: shown, next});
  } catch (error) {
    if (fd !== -1) close(fd);
    if (!next()) stream.destroy(error instanceof SystemCallError ? new ErrnoError(error.call, error.errno) : asError(error));
  }
}

function prepareInternet(fd: number, domain: number, {source, keepAlive}: ConnectRequest): void {
  prepareStream(fd, {keepAlive, keepAliveSeconds: null});
  if (source === null) return;
  const isIpv4 = isIP(source.host) === 4;
  if (isIpv4 !== (domain === family.ipv4)) throw new ErrnoError('bind', EAFNOSUPPORT, source.host);
  // With the port chosen only when it is connected, as many connections leave from one address as there are for each server.
  if (source.port === null) setSocketOption(fd, level.ipv4, option.bindAddressNoPort, 1);
  else setSocketOption(fd, level.socket, option.reuseAddress, 1);
  bindSocket(fd, isIpv4 ? ipv4SocketAddress(source.host, source.port ?? 0) : ipv6SocketAddress(source.host, source.port ?? 0));
}
