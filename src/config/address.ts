/** Addresses of binds and servers in HAProxy's forms, with `udp@`, `tcp@` and `app:NAME:PORT` of our own. */
import {isIPv4, isIPv6} from 'node:net';
import {errorMessage} from '../core/errors.ts';
import {appName} from '../core/ids.ts';
import type {Target} from './proxy-value.ts';
import {type Parsed, parsePort, refused} from './units.ts';

export interface BindAddress {
  /** Null when it follows from the frontend's mode. */
  readonly protocol: 'tcp' | 'udp' | null;
  readonly host: string;
  readonly port: number;
  /** Instead of host and port. */
  readonly socket?: {readonly kind: 'unix'; readonly path: string; readonly abstract: boolean} | {readonly kind: 'fd'; readonly fd: number};
}

interface Prefix {
  readonly protocol: 'tcp' | 'udp' | null;
  readonly family: 4 | 6 | null;
}

const prefixes: ReadonlyMap<string, Prefix> = new Map([
  ['tcp', {protocol: 'tcp', family: null}],
  ['tcp4', {protocol: 'tcp', family: 4}],
  ['tcp6', {protocol: 'tcp', family: 6}],
  ['udp', {protocol: 'udp', family: null}],
  ['udp4', {protocol: 'udp', family: 4}],
  ['udp6', {protocol: 'udp', family: 6}],
  ['ipv4', {protocol: null, family: 4}],
  ['ipv6', {protocol: null, family: 6}],
]);

const laterPrefixes: ReadonlySet<string> = new Set(['abnsz', 'sockpair', 'mptcp', 'mptcp4', 'mptcp6', 'quic', 'quic4', 'quic6', 'rhttp', 'uxst']);

/** One element of a bind's comma list; a range of ports gives an address for each. */
export function parseBindAddress(text: string): Parsed<readonly BindAddress[]> {
  const inherited = /^fd@(.*)$/s.exec(text)?.[1];
  if (inherited !== undefined) return parseInheritedFd(inherited);
  const unix = parseUnixSocket(text);
  if (unix !== null) return unix.ok ? {ok: true, value: [{protocol: null, host: '', port: 0, socket: {kind: 'unix', ...unix.value}}]} : unix;
  const split = splitAddress(text);
  if (!split.ok) return split;
  const {prefix, host, ports} = split.value;
  const bound = bindHost(host, prefix.family);
  if (!bound.ok) return bound;
  const [first = '', last, ...rest] = ports.split('-');
  const from = parsePort(first);
  if (!from.ok) return from;
  const to = last === undefined ? from : parsePort(last);
  if (!to.ok) return to;
  if (rest.length > 0 || to.value < from.value) return refused(`'${ports}' is not a range of ports`);
  const count = to.value - from.value + 1;
  return {ok: true, value: Array.from({length: count}, (_, index) => ({protocol: prefix.protocol, host: bound.value, port: from.value + index}))};
}

/** Where a server is: `app:NAME:PORT`, `HOST:PORT`, `[V6]:PORT`. */
export function parseTarget(text: string): Parsed<Target> {
  const unix = parseUnixSocket(text);
  if (unix !== null) return unix.ok ? {ok: true, value: {kind: 'unix', ...unix.value}} : unix;
  if (text.startsWith('fd@')) return refused('a server needs an address');
  // `app:8080` is a host called app.
  if (text.startsWith('app:') && !/^app:\d+$/.test(text)) return parseAppTarget(text.slice('app:'.length));
  // The name of a service, whose SRV records have the ports.
  if (isServiceName(text)) return {ok: true, value: {kind: 'address', host: text, port: 0}};
  const split = splitAddress(text);
  if (!split.ok) return split;
  const {prefix, host, ports} = split.value;
  if (prefix.protocol !== null) return refused("the protocol of a server follows from its frontend's mode");
  if (host === '' || host === '*' || host === '0.0.0.0' || host === '::') return refused('a server needs an address of its own');
  const checked = checkHost(host, prefix.family);
  if (!checked.ok) return checked;
  const port = parsePort(ports);
  return port.ok ? {ok: true, value: {kind: 'address', host: checked.value, port: port.value}} : port;
}

/** `_http._tcp.example.com` (RFC 2782). */
export function isServiceName(host: string): boolean {
  return /^_[\w-]+\._[\w-]+\.[\w.-]+$/.test(host);
}

/** `/path`, `unix@path`, `abns@name`; null for anything else. A relative path is made absolute by the caller. */
export function parseUnixSocket(text: string): Parsed<{readonly path: string; readonly abstract: boolean}> | null {
  const [, prefix = '', rest = text] = /^(unix@|abns@|uxst@)(.*)$/s.exec(text) ?? [];
  if (prefix === '' && !text.startsWith('/')) return null;
  const abstract = prefix === 'abns@';
  if (rest === '') return refused(abstract ? 'a name is expected' : 'a path is expected');
  // What fits into sun_path, with a zero before or after it.
  if (Buffer.byteLength(rest) > 107) return refused('the path of a unix socket has at most 107 bytes');
  return {ok: true, value: {path: rest, abstract}};
}

function parseInheritedFd(text: string): Parsed<readonly BindAddress[]> {
  if (!/^\d{1,6}$/.test(text)) return refused('the number of a descriptor is expected');
  return {ok: true, value: [{protocol: null, host: '', port: 0, socket: {kind: 'fd', fd: Number(text)}}]};
}

/** One spelling for every address that a socket treats alike, to find what is bound twice. */
export function canonicalHost(host: string): string {
  if (host === '0.0.0.0') return '';
  if (!isIPv6(host)) return host.toLowerCase();
  const [address = '', zone] = host.split('%');
  const canonical = URL.parse(`http://[${address}]`)?.hostname.slice(1, -1) ?? address;
  return zone === undefined ? canonical : `${canonical}%${zone}`;
}

function parseAppTarget(rest: string): Parsed<Target> {
  const colon = rest.lastIndexOf(':');
  if (colon < 0) return refused(`missing port, 'app:${rest}:PORT' is expected`);
  const port = parsePort(rest.slice(colon + 1));
  if (!port.ok) return port;
  try {
    return {ok: true, value: {kind: 'app', app: appName(rest.slice(0, colon)), port: port.value}};
  } catch (error) {
    return refused(errorMessage(error));
  }
}

function splitAddress(text: string): Parsed<{readonly prefix: Prefix; readonly host: string; readonly ports: string}> {
  const [, name, rest = ''] = /^([A-Za-z0-9+]+)@(.*)$/s.exec(text) ?? [];
  if (name !== undefined && laterPrefixes.has(name)) return refused(`'${name}@' is not implemented yet`);
  const prefix = name === undefined ? {protocol: null, family: null} : prefixes.get(name);
  if (prefix === undefined) return refused(`unknown prefix '${name ?? ''}@'`);
  const address = name === undefined ? text : rest;
  const colon = address.lastIndexOf(':');
  if (colon < 0 || address.endsWith(']')) return refused('missing port');
  const host = address.slice(0, colon);
  const bracketed = host.startsWith('[') && host.endsWith(']');
  if (bracketed && !isIPv6(host.slice(1, -1))) return refused(`'${host}' is not an IPv6 address`);
  return {ok: true, value: {prefix, host: bracketed ? host.slice(1, -1) : host, ports: address.slice(colon + 1)}};
}

function bindHost(host: string, family: 4 | 6 | null): Parsed<string> {
  if (host === '' || host === '*') return {ok: true, value: family === 6 ? '::' : ''};
  return checkHost(host, family);
}

function checkHost(host: string, family: 4 | 6 | null): Parsed<string> {
  const found = isIPv4(host) ? 4 : isIPv6(host) ? 6 : null;
  if (family !== null && found !== family) return refused(`'${host}' is not an IPv${family} address`);
  if (found !== null) return {ok: true, value: host};
  if (/^[\d.]+$/.test(host)) return refused(`'${host}' is not an IPv4 address`);
  const isName = host.length <= 253 && /^[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$/.test(host);
  return isName ? {ok: true, value: host} : refused(`'${host}' is neither an address nor a host name`);
}
