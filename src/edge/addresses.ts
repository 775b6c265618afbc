import type {Bind} from '../config/proxy-value.ts';
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';

/** Where a frontend really listens: with the port the system chose when the configuration says 0. */
export interface BoundAddress {
  readonly frontend: string;
  readonly protocol: 'tcp' | 'udp';
  readonly host: string;
  readonly port: number;
}

/** An IPv4 client of a dual-stack socket as the IPv4 address that it is. */
export function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice('::ffff:'.length) : address;
}

export function bindHost(bind: Bind): string {
  return bind.host === '' ? '0.0.0.0' : bind.host;
}

/** What a bind names, as it is written in a configuration. */
export function showBind(bind: Bind): string {
  if (bind.inheritedFd !== null) return `fd@${bind.inheritedFd}`;
  if (bind.unix !== null) return `${bind.unix.abstract ? 'abns' : 'unix'}@${bind.unix.path}`;
  return showAddress(bindHost(bind), bind.port);
}

export function showAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The error of a bind(2) or listen(2) that failed, naming the frontend and the address. */
export function bindError(frontend: string, bind: Bind, cause: unknown): CodedError<'ERR_BIND'> {
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: 'the port is in use',
    EACCES: 'no permission',
    EADDRNOTAVAIL: 'this host has no such address',
    EBADF: 'no such descriptor is open',
    ENODEV: 'there is no such interface',
    ENOTSOCK: 'the descriptor is no socket',
    ENOENT: 'its directory does not exist',
    EPERM: 'no permission',
    ENOTFOUND: 'the name does not resolve',
  };
  const found = reasons[errorCode(cause) ?? ''] ?? errorMessage(cause);
  return new CodedError('ERR_BIND', `Cannot bind frontend "${frontend}" to ${bind.protocol} ${showBind(bind)}: ${found}`, {
    source: 'host',
    cause,
  });
}
