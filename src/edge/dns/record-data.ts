/** From records as a zone file writes them (RFC 1035, 5.1) to the bytes of the wire. */
import {isIPv4, isIPv6} from 'node:net';
import type {DnsRecord} from '../../config/proxy-value.ts';
import {CodedError} from '../../core/errors.ts';
import {encodeName} from './name.ts';
import {classIn, recordType} from './protocol.ts';

/** A record without its owner: type, class, TTL, length, data. */
export function recordBody(type: number, ttlSeconds: number, data: Uint8Array): Buffer {
  const body = Buffer.allocUnsafe(10 + data.length);
  body.writeUInt16BE(type, 0);
  body.writeUInt16BE(classIn, 2);
  body.writeUInt32BE(ttlSeconds, 4);
  body.writeUInt16BE(data.length, 8);
  body.set(data, 10);
  return body;
}

/** @param address a plain address of IPv4 or IPv6, which decides on A or AAAA */
export function addressBody(address: string, ttlSeconds: number): Buffer {
  return isIPv4(address) ? recordBody(recordType.A, ttlSeconds, ipv4Bytes(address)) : recordBody(recordType.AAAA, ttlSeconds, ipv6Bytes(address));
}

export function ipv4Bytes(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

export function ipv6Bytes(address: string): Buffer {
  const [plain = ''] = address.split('%');
  const dotted = /[^:]*\.[^:]*$/.exec(plain)?.[0];
  const text =
    dotted === undefined
      ? plain
      : plain.replace(
          dotted,
          ipv4Bytes(dotted)
            .toString('hex')
            .replace(/(....)/, '$1:'),
        );
  const [before = '', after] = text.split('::');
  const head = before === '' ? [] : before.split(':');
  const tail = after === undefined || after === '' ? [] : after.split(':');
  const bytes = Buffer.alloc(16);
  for (const [index, group] of head.entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), index * 2);
  for (const [index, group] of tail.entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), 16 - (tail.length - index) * 2);
  return bytes;
}

/** Texts of up to 255 bytes each. */
export function textData(texts: readonly string[]): Buffer {
  const parts = texts.flatMap((text) => {
    const bytes = Buffer.from(text);
    const chunks = Array.from({length: Math.max(1, Math.ceil(bytes.length / 255))}, (_, index) => bytes.subarray(index * 255, index * 255 + 255));
    return chunks.flatMap((chunk) => [Buffer.from([chunk.length]), chunk]);
  });
  return Buffer.concat(parts);
}

/** RFC 2782. @param target on the wire */
export function srvData(service: {readonly priority: number; readonly weight: number; readonly port: number; readonly target: Uint8Array}): Buffer {
  const data = Buffer.allocUnsafe(6 + service.target.length);
  data.writeUInt16BE(service.priority, 0);
  data.writeUInt16BE(service.weight, 2);
  data.writeUInt16BE(service.port, 4);
  data.set(service.target, 6);
  return data;
}

/**
 * The data of a record of the configuration. A name without a dot at the end is relative to the zone; `@` is the zone itself.
 * @throws CodedError ERR_BAD_DNS_RECORD, ERR_BAD_DNS_NAME
 */
export function parseRecordData(record: DnsRecord, zone: string): Buffer {
  const refuse = (found: string): CodedError =>
    new CodedError('ERR_BAD_DNS_RECORD', `Cannot use DNS record "${record.name} ${record.type} ${record.data}": ${found}`, {source: 'client'});
  const words = record.data.split(/\s+/).filter((part) => part !== '');
  const count = {A: 1, AAAA: 1, CNAME: 1, NS: 1, MX: 2, SRV: 4, TXT: words.length}[record.type];
  if (words.length !== count) throw refuse(`${count} words are expected, ${words.length} were found`);
  const [first = '', second = '', third = '', fourth = ''] = words;
  const number16 = (text: string): number => {
    if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535) throw refuse(`'${text}' is not a number up to 65535`);
    return Number(text);
  };
  const {type} = record;
  switch (type) {
    case 'A':
      if (!isIPv4(first)) throw refuse('an IPv4 address is expected');
      return ipv4Bytes(first);
    case 'AAAA':
      if (!isIPv6(first) || first.includes('%')) throw refuse('an IPv6 address is expected');
      return ipv6Bytes(first);
    case 'CNAME':
    case 'NS':
      return encodeName(absoluteName(first, zone));
    case 'MX': {
      const preference = Buffer.alloc(2);
      preference.writeUInt16BE(number16(first));
      return Buffer.concat([preference, encodeName(absoluteName(second, zone))]);
    }
    case 'SRV':
      return srvData({
        priority: number16(first),
        weight: number16(second),
        port: number16(third),
        target: encodeName(absoluteName(fourth, zone)),
      });
    case 'TXT': {
      const data = textData(splitTexts(record.data));
      if (data.length > 16_384) throw refuse('more than 16384 bytes');
      return data;
    }
    default:
      return type satisfies never;
  }
}

/** @param zone without the dot at the end */
export function absoluteName(name: string, zone: string): string {
  if (name === '@') return zone;
  return name.endsWith('.') ? name : `${name}.${zone}`;
}

/** `"a b" c` are two texts; without quotes at its beginning the whole is one. */
function splitTexts(data: string): string[] {
  if (!data.trimStart().startsWith('"')) return [data];
  return [...data.matchAll(/"((?:[^"\\]|\\.)*)"|([^\s"]+)/g)].map(([, quoted, plain]) => quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '');
}
