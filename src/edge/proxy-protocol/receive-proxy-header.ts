/** `accept-proxy`: the header that a proxy sends before everything else, on a connection or in front of each datagram. */
import {CodedError} from '../../core/errors.ts';
import {type Examination, readFirstBytes} from '../inspect/first-bytes.ts';
import type {ByteStream} from '../streams/byte-stream.ts';
import type {ProxyHeader, ProxyHeaderReading} from './proxy-header.ts';
import {parseVersion1} from './version-1.ts';
import {parseVersion2, signature} from './version-2.ts';

const version1Start = Buffer.from('PROXY ');

export type ProxyHeaderErrorCode = 'ERR_PROXY_HEADER' | 'ERR_NO_PROXY_HEADER';

export interface ReceivedHeader {
  readonly header: ProxyHeader;
  readonly sizeBytes: number;
}

/** Reads a header of either version from the first bytes of a stream; never throws. `none`: they begin otherwise. */
export function parseProxyHeader(bytes: Buffer): ProxyHeaderReading | {readonly kind: 'none'} {
  for (const [start, parse] of [
    [signature, parseVersion2],
    [version1Start, parseVersion1],
  ] as const) {
    const compared = Math.min(bytes.length, start.length);
    if (!bytes.subarray(0, compared).equals(start.subarray(0, compared))) continue;
    return compared < start.length ? {kind: 'incomplete', neededBytes: start.length} : parse(bytes);
  }
  return {kind: 'none'};
}

/**
 * Takes the header off a connection that nobody reads yet; bytes after it stay unread. On an error the socket is still the caller's to destroy.
 * @throws CodedError ERR_PROXY_HEADER (a wrong one), ERR_NO_PROXY_HEADER (something else), ERR_FIRST_BYTES_TIMEOUT, ERR_FIRST_BYTES_ENDED
 */
export async function receiveProxyHeader(socket: ByteStream, options: {readonly timeoutMs: number}): Promise<ReceivedHeader> {
  return readFirstBytes(socket, examine, options);
}

function examine(bytes: Buffer): Examination<ReceivedHeader> {
  const reading = parseProxyHeader(bytes);
  switch (reading.kind) {
    case 'complete':
      return {done: true, value: reading, usedBytes: reading.sizeBytes};
    case 'incomplete':
      return {done: false, neededBytes: reading.neededBytes};
    case 'invalid':
      throw proxyHeaderError(reading.found);
    case 'none':
      throw new CodedError('ERR_NO_PROXY_HEADER', 'Cannot read PROXY header: found something else', {source: 'client'});
    default:
      return reading satisfies never;
  }
}

/**
 * A datagram has its header, which must be of version 2, and its payload in one.
 * @throws CodedError ERR_PROXY_HEADER
 */
export function splitProxiedDatagram(datagram: Buffer): {readonly header: ProxyHeader; readonly payload: Buffer} {
  const isVersion2 = datagram.length >= signature.length && datagram.subarray(0, signature.length).equals(signature);
  if (!isVersion2) throw proxyHeaderError('something else than version 2');
  const reading = parseVersion2(datagram);
  switch (reading.kind) {
    case 'complete':
      return {header: reading.header, payload: datagram.subarray(reading.sizeBytes)};
    case 'incomplete':
      throw proxyHeaderError(`${datagram.length} bytes where ${reading.neededBytes} are expected`);
    case 'invalid':
      throw proxyHeaderError(reading.found);
    default:
      return reading satisfies never;
  }
}

function proxyHeaderError(found: string): CodedError<'ERR_PROXY_HEADER'> {
  return new CodedError('ERR_PROXY_HEADER', `Cannot read PROXY header: found ${found}`, {source: 'client'});
}
