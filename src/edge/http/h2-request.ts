/** The head of an HTTP/2 request (RFC 9113, section 8.3) as one that may also be sent over HTTP/1. nghttp2 has checked its form. */
import {HeadError} from './h1-head.ts';
import {type ProtocolSwitch, protocolSwitch} from './h2-tunnel.ts';
import type {BodyLength, Header, RequestHead} from './message.ts';
import {checkTarget} from './target.ts';

const pathForm = /^(?:\/[\x21-\x7e]*|\*)$/;
const fieldForm = /^[\t\x20-\x7e\x80-\xff]*$/;
const nameForm = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const tokenForm = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const maxHeaders = 101;

export interface H2Request {
  readonly head: RequestHead;
  readonly length: BodyLength;
  /** The stream is to become another protocol's; the head is that of the HTTP/1.1 request which asks for that. */
  readonly switching: ProtocolSwitch | null;
}

/**
 * @param raw names and values in turn
 * @param endsHere no body follows
 * @throws HeadError
 */
export function h2Request(raw: readonly string[], endsHere: boolean): H2Request {
  const pseudo = new Map<string, string>();
  const headers: Header[] = [];
  const cookies: string[] = [];
  let length: BodyLength = endsHere ? 0 : null;
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? '';
    const value = raw[at + 1] ?? '';
    if (name.startsWith(':')) pseudo.set(name, value);
    else if (!nameForm.test(name) || !fieldForm.test(value)) throw new HeadError('an invalid field');
    else if (name === 'cookie') cookies.push(value);
    else if (name === 'content-length') {
      if (length !== null && !endsHere) throw new HeadError('more than one Content-Length');
      if (!/^\d{1,15}$/.test(value)) throw new HeadError('an invalid Content-Length');
      if (!endsHere) length = Number(value);
      headers.push([name, value]);
    } else if (name !== 'host' || !pseudo.has(':authority')) headers.push([name, value]);
    else if (value.toLowerCase() !== pseudo.get(':authority')?.toLowerCase()) throw new HeadError('an authority that is not the Host');
  }
  if (headers.length > maxHeaders) throw new HeadError(`more than ${maxHeaders} fields`, 431);
  if (cookies.length > 0) headers.push(['cookie', cookies.join('; ')]);
  const switching = switchOf(pseudo);
  if (switching !== null) {
    headers.push(...switching.headers);
    length = 0;
  }
  const method = switching === null ? (pseudo.get(':method') ?? '') : 'GET';
  const authority = pseudo.get(':authority');
  if (authority !== undefined) headers.unshift(['host', authority]);
  const uri = method === 'CONNECT' ? (authority ?? '') : (pseudo.get(':path') ?? '');
  if (method !== 'CONNECT' && !pathForm.test(uri)) throw new HeadError('an invalid path');
  const head: RequestHead = {method, uri, version: '2.0', headers};
  if (!headers.some(([name]) => name === 'host')) throw new HeadError('no Host');
  checkTarget(head);
  return {head, length, switching};
}

/** RFC 8441, section 4. */
function switchOf(pseudo: ReadonlyMap<string, string>): ProtocolSwitch | null {
  const protocol = pseudo.get(':protocol');
  if (protocol === undefined) return null;
  if (pseudo.get(':method') !== 'CONNECT' || !tokenForm.test(protocol)) throw new HeadError('an invalid :protocol');
  return protocolSwitch(protocol);
}
