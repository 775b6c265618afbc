/** Version 2 of the PROXY protocol: 16 bytes, addresses, TLVs. The only one that datagrams can carry. */
import {crc32c} from './crc32c.ts';
import {bytesToIp, ipToBytes, toMappedBytes} from './ip-bytes.ts';
import {bareProxyHeader, invalidHeader, type ProxiedAddresses, type ProxyHeader, type ProxyHeaderReading} from './proxy-header.ts';
import {formatTlv, formatTlvs, readTlvs, splitTlvs, type Tlv, tlvTypes} from './tlvs.ts';

export const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const fixedBytes = 16;
const unixPathBytes = 108;

/** The upper half of the 14th byte, and how many bytes of addresses it announces. */
const families = {
  unspecified: {code: 0, addressBytes: 0},
  ipv4: {code: 1, addressBytes: 12},
  ipv6: {code: 2, addressBytes: 36},
  unix: {code: 3, addressBytes: 2 * unixPathBytes},
} as const;
type Family = keyof typeof families;
const familyNames: readonly Family[] = ['unspecified', 'ipv4', 'ipv6', 'unix'];
const transports = [null, 'stream', 'datagram'] as const;

/** @param bytes that begin with the signature */
export function parseVersion2(bytes: Buffer): ProxyHeaderReading {
  if (bytes.length < fixedBytes) return {kind: 'incomplete', neededBytes: fixedBytes};
  const command = bytes.readUInt8(12);
  if (command >> 4 !== 2) return invalidHeader(`version ${command >> 4}`);
  if ((command & 15) > 1) return invalidHeader(`command ${command & 15}`);
  const family = familyNames[bytes.readUInt8(13) >> 4];
  const transport = transports[bytes.readUInt8(13) & 15];
  if (family === undefined || transport === undefined) return invalidHeader(`the address family 0x${bytes.toString('hex', 13, 14)}`);
  const sizeBytes = fixedBytes + bytes.readUInt16BE(14);
  if (bytes.length < sizeBytes) return {kind: 'incomplete', neededBytes: sizeBytes};
  if ((command & 15) === 0) return {kind: 'complete', header: {...bareProxyHeader, local: true}, sizeBytes};
  const {addressBytes} = families[family];
  if (sizeBytes < fixedBytes + addressBytes) return invalidHeader(`${sizeBytes - fixedBytes} bytes where addresses of ${addressBytes} are expected`);
  const addresses =
    family === 'unspecified' || transport === null ? null : readAddresses(family, transport, bytes.subarray(fixedBytes, fixedBytes + addressBytes));
  // An unspecified family may have addresses of any kind; HAProxy writes none, and TLVs.
  const tlvs = splitTlvs(bytes.subarray(fixedBytes + addressBytes, sizeBytes)) ?? (family === 'unspecified' ? [] : null);
  if (tlvs === null) return invalidHeader('a TLV that ends after the header');
  if (!hasGoodChecksum(bytes.subarray(0, sizeBytes), tlvs)) return invalidHeader('a wrong checksum');
  const fields = readTlvs(tlvs);
  if (typeof fields === 'string') return invalidHeader(fields);
  return {kind: 'complete', header: {local: false, addresses, ...fields}, sizeBytes};
}

function readAddresses(family: Exclude<Family, 'unspecified'>, transport: 'stream' | 'datagram', bytes: Buffer): ProxiedAddresses {
  if (family === 'unix') {
    return {kind: 'unix', transport, source: pathOf(bytes.subarray(0, unixPathBytes)), destination: pathOf(bytes.subarray(unixPathBytes))};
  }
  const ipBytes = family === 'ipv4' ? 4 : 16;
  return {
    kind: 'ip',
    transport,
    source: {host: bytesToIp(bytes.subarray(0, ipBytes)), port: bytes.readUInt16BE(2 * ipBytes)},
    destination: {host: bytesToIp(bytes.subarray(ipBytes, 2 * ipBytes)), port: bytes.readUInt16BE(2 * ipBytes + 2)},
  };
}

function pathOf(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
}

function hasGoodChecksum(header: Buffer, tlvs: readonly Tlv[]): boolean {
  for (const {type, value} of tlvs) {
    if (type !== tlvTypes.crc32c) continue;
    if (value.length !== 4) return false;
    const at = value.byteOffset - header.byteOffset;
    if (crc32c(header.subarray(0, at), Buffer.alloc(4), header.subarray(at + 4)) !== value.readUInt32BE(0)) return false;
  }
  return true;
}

/**
 * An IPv4 address beside one of IPv6 is written as a mapped one, as HAProxy does.
 * @throws RangeError when texts make it longer than 65,551 bytes
 */
export function formatVersion2(header: ProxyHeader, {checksum}: {readonly checksum: boolean}): Buffer {
  const {code, body} = formatAddresses(header.local ? null : header.addresses);
  const tlvs = formatTlvs(header);
  const sum = checksum ? formatTlv(tlvTypes.crc32c, new Uint8Array(4)) : Buffer.alloc(0);
  const fixed = Buffer.alloc(fixedBytes);
  signature.copy(fixed);
  fixed.writeUInt8(header.local ? 0x20 : 0x21, 12);
  fixed.writeUInt8(code, 13);
  fixed.writeUInt16BE(body.length + tlvs.length + sum.length, 14);
  const whole = Buffer.concat([fixed, body, sum, tlvs]);
  if (sum.length > 0) whole.writeUInt32BE(crc32c(whole), fixedBytes + body.length + sum.length - 4);
  return whole;
}

function formatAddresses(addresses: ProxiedAddresses | null): {readonly code: number; readonly body: Buffer} {
  const none = {code: 0, body: Buffer.alloc(0)};
  if (addresses === null) return none;
  const code = (family: Family): number => families[family].code * 16 + transports.indexOf(addresses.transport);
  if (addresses.kind === 'unix') {
    const body = Buffer.alloc(2 * unixPathBytes);
    body.write(addresses.source, 0, unixPathBytes);
    body.write(addresses.destination, unixPathBytes, unixPathBytes);
    return {code: code('unix'), body};
  }
  let from = ipToBytes(addresses.source.host);
  let to = ipToBytes(addresses.destination.host);
  if (from === null || to === null) return none;
  if (from.length !== to.length) [from, to] = [from, to].map((ip) => (ip.length === 4 ? toMappedBytes(ip) : ip)) as [Uint8Array, Uint8Array];
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(addresses.source.port, 0);
  ports.writeUInt16BE(addresses.destination.port, 2);
  return {code: code(from.length === 4 ? 'ipv4' : 'ipv6'), body: Buffer.concat([from, to, ports])};
}
