/** How long the body of an HTTP/1 message is, and whether its connection stays open (RFC 9112, sections 6 and 9.3). */
import {HeadError} from './h1-head.ts';
import type {BodyLength, Header, HttpVersion, RequestHead, ResponseHead} from './message.ts';

/** `chunked`, or by `length`; without either, a response goes on until its connection closes. */
export interface Framing {
  readonly chunked: boolean;
  readonly length: BodyLength;
}

const noBody: Framing = {chunked: false, length: 0};
const chunkedBody: Framing = {chunked: true, length: null};
const untilClose: Framing = {chunked: false, length: null};
const decimal = /^\d{1,15}$/;

interface Fields {
  readonly contentLength: string | null;
  readonly transferEncoding: string | null;
}

function framingFields(headers: readonly Header[]): Fields {
  let contentLength: string | null = null;
  let transferEncoding: string | null = null;
  for (const [name, value] of headers) {
    if (name === 'content-length') {
      if (contentLength !== null) throw new HeadError('more than one Content-Length');
      if (!decimal.test(value)) throw new HeadError('an invalid Content-Length');
      contentLength = value;
    } else if (name === 'transfer-encoding') {
      if (transferEncoding !== null) throw new HeadError('more than one Transfer-Encoding');
      transferEncoding = value.toLowerCase();
    }
  }
  return {contentLength, transferEncoding};
}

/** @throws HeadError */
export function requestFraming({headers, version}: RequestHead): Framing {
  const {contentLength, transferEncoding} = framingFields(headers);
  if (transferEncoding === null) return contentLength === null || contentLength === '0' ? noBody : {chunked: false, length: Number(contentLength)};
  if (contentLength !== null) throw new HeadError('both Content-Length and Transfer-Encoding');
  if (version === '1.0') throw new HeadError('Transfer-Encoding in HTTP/1.0');
  if (transferEncoding === 'chunked') return chunkedBody;
  throw /(^|[,\s])chunked$/.test(transferEncoding) && !/chunked.*chunked/.test(transferEncoding)
    ? new HeadError('an unknown transfer coding', 501)
    : new HeadError('an invalid Transfer-Encoding');
}

/** Whether a message asks for WebSocket, or agrees to it (RFC 6455, section 4). */
function isWebSocket(headers: readonly Header[]): boolean {
  return connectionHas(headers, 'upgrade') && headers.some(([name, value]) => name === 'upgrade' && value.toLowerCase() === 'websocket');
}

/** Who asks for WebSocket says a key. @throws HeadError */
export function checkUpgradeRequest({version, headers}: RequestHead): void {
  if (version !== '1.0' && isWebSocket(headers) && !headers.some(([name]) => name === 'sec-websocket-key')) throw new HeadError('WebSocket without a key');
}

/** Who agrees answers the key. @throws HeadError */
export function checkUpgradeResponse({headers}: ResponseHead): void {
  if (isWebSocket(headers) && !headers.some(([name]) => name === 'sec-websocket-accept')) throw new HeadError('WebSocket without an answer to the key');
}

/** Statuses whose responses have no body. */
export function isBodyless(method: string, status: number): boolean {
  return method === 'HEAD' || status === 204 || status === 304 || status < 200;
}

/** @throws HeadError */
export function responseFraming(method: string, head: ResponseHead): Framing {
  const {contentLength, transferEncoding} = framingFields(head.headers);
  if (contentLength !== null && transferEncoding !== null) throw new HeadError('both Content-Length and Transfer-Encoding');
  if (isBodyless(method, head.status)) return noBody;
  if (transferEncoding !== null) {
    if (transferEncoding !== 'chunked' || head.version === '1.0') throw new HeadError('an invalid Transfer-Encoding');
    return chunkedBody;
  }
  return contentLength === null ? untilClose : {chunked: false, length: Number(contentLength)};
}

/** Whether one of the comma-separated words of all `Connection` fields is this one. */
export function connectionHas(headers: readonly Header[], word: string): boolean {
  for (const [name, value] of headers) {
    if (name !== 'connection') continue;
    const lower = value.toLowerCase();
    if (lower === word) return true;
    if (lower.includes(word) && lower.split(',').some((part) => part.trim() === word)) return true;
  }
  return false;
}

export function keepsAlive(version: HttpVersion, headers: readonly Header[]): boolean {
  return version === '1.0' ? connectionHas(headers, 'keep-alive') : !connectionHas(headers, 'close');
}

/** Fields that `Connection` must not take away: they route or frame the message, or are what the connection itself is asked for. */
const notNominated = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'close',
  'keep-alive',
  'te',
  'upgrade',
  'trailer',
  'expect',
  'cookie',
  'authorization',
]);

/** Without the fields that the client has meant for us only (RFC 9110, section 7.6.1). Those of the connection itself are left to rules. */
export function withoutNominated(headers: Header[]): Header[] {
  if (!headers.some(([name, value]) => name === 'connection' && !plainConnection.test(value))) return headers;
  const nominated = new Set<string>();
  for (const [name, value] of headers) {
    if (name !== 'connection' || plainConnection.test(value)) continue;
    for (const word of value.toLowerCase().split(',')) {
      const field = word.trim();
      if (!notNominated.has(field)) nominated.add(field);
    }
  }
  return nominated.size === 0 ? headers : headers.filter(([name]) => !nominated.has(name));
}

const plainConnection = /^(?:close|keep-alive|upgrade)$/i;
