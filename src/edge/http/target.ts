/** The parts of a request target (RFC 9112, section 3.2), and whether its authority and the field Host may be believed. */
import {HeadError} from './h1-head.ts';
import type {RequestHead} from './message.ts';

/** `prefix` is what stands before the path: `http://host` of an absolute form, else `''`. `query` has no `?`; null: there is none. */
export interface TargetParts {
  readonly prefix: string;
  readonly path: string;
  readonly query: string | null;
}

const absolute = /^([A-Za-z]+):\/\/([^/?#]*)/;

export function splitTarget(uri: string): TargetParts {
  const prefix = uri.startsWith('/') ? '' : (absolute.exec(uri)?.[0] ?? '');
  const mark = uri.indexOf('?', prefix.length);
  if (mark === -1) return {prefix, path: uri.slice(prefix.length), query: null};
  return {prefix, path: uri.slice(prefix.length, mark), query: uri.slice(mark + 1)};
}

export function joinTarget({prefix, path, query}: TargetParts): string {
  return query === null ? prefix + path : `${prefix}${path}?${query}`;
}

/** RFC 3986: a name or IPv4 address, or an IPv6 address in brackets; then a port. Userinfo is not part of it. */
const hostForm = /^(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?$/;

function hostKey(host: string, scheme: string): string {
  const key = host.toLowerCase();
  return key.replace(scheme === 'https' ? /:(443)?$/ : /:(80)?$/, '');
}

/**
 * One valid Host for HTTP/1.1, none or one for 1.0, which an absolute form does not contradict.
 * @throws HeadError
 */
export function checkTarget({method, uri, version, headers}: RequestHead): void {
  let host: string | null = null;
  for (const [name, value] of headers) {
    if (name !== 'host') continue;
    if (host !== null) throw new HeadError('more than one Host');
    host = value;
  }
  if (host === null ? version === '1.1' : host !== '' && !hostForm.test(host)) throw new HeadError(host === null ? 'no Host' : 'an invalid Host');
  if (uri.startsWith('/')) {
    if (method === 'CONNECT') throw new HeadError('a CONNECT without an authority');
    return;
  }
  if (uri === '*' && method === 'OPTIONS') return;
  if (method === 'CONNECT') {
    if (!/:\d{1,5}$/.test(uri) || !hostForm.test(uri)) throw new HeadError('a CONNECT without an authority');
    if (
      host !== null &&
      host.toLowerCase() !== uri.toLowerCase() &&
      `${host}:443`.toLowerCase() !== uri.toLowerCase() &&
      `${host}:80`.toLowerCase() !== uri.toLowerCase()
    ) {
      throw new HeadError('an authority that is not the Host');
    }
    return;
  }
  const match = absolute.exec(uri);
  const authority = match?.[2] ?? '';
  if (match === null || !hostForm.test(authority)) throw new HeadError('an invalid request target');
  const scheme = (match[1] ?? '').toLowerCase();
  if (host !== null && hostKey(host, scheme) !== hostKey(authority, scheme)) throw new HeadError('an authority that is not the Host');
}
