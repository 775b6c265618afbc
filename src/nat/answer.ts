/**
 * Packets that are made up in the name of a sleeping app. Each is built from the packet it answers alone, since the
 * app's own sockets are in a checkpoint.
 */
import {isUnicast} from './ipv4.ts';
import {type Packet, protocolNumber, type TcpSegment, tcpFlag} from './packet.ts';

/** The window of an answered keepalive probe: small, so that a client whose window is closed may ask, and thereby wake. */
const answeredWindow = 501;

function sum16(data: Uint8Array, start: number): number {
  let sum = start;
  for (let at = 0; at + 1 < data.length; at += 2) sum += ((data[at] ?? 0) << 8) | (data[at + 1] ?? 0);
  if (data.length % 2 === 1) sum += (data[data.length - 1] ?? 0) << 8;
  return sum;
}

/** The Internet checksum (RFC 1071) of `data`, on top of a partial sum. */
export function internetChecksum(data: Uint8Array, start = 0): number {
  let sum = sum16(data, start);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

function ipv4(options: {source: number; destination: number; protocol: number; payload: Buffer}): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt8(0x45, 0);
  header.writeUInt16BE(20 + options.payload.length, 2);
  header.writeUInt16BE(0x4000, 6);
  header.writeUInt8(64, 8);
  header.writeUInt8(options.protocol, 9);
  header.writeUInt32BE(options.source, 12);
  header.writeUInt32BE(options.destination, 16);
  header.writeUInt16BE(internetChecksum(header), 10);
  return Buffer.concat([header, options.payload]);
}

interface TcpFields {
  readonly source: number;
  readonly destination: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  readonly acknowledgement: number;
  readonly flags: number;
  readonly window: number;
  readonly timestamps: TcpSegment['timestamps'];
}

function tcp(fields: TcpFields): Buffer {
  const segment = Buffer.alloc(fields.timestamps === null ? 20 : 32);
  segment.writeUInt16BE(fields.sourcePort, 0);
  segment.writeUInt16BE(fields.destinationPort, 2);
  segment.writeUInt32BE(fields.sequence, 4);
  segment.writeUInt32BE(fields.acknowledgement, 8);
  segment.writeUInt8((segment.length / 4) << 4, 12);
  segment.writeUInt8(fields.flags, 13);
  segment.writeUInt16BE(fields.window, 14);
  if (fields.timestamps !== null) {
    segment.writeUInt32BE(0x0101080a, 20);
    segment.writeUInt32BE(fields.timestamps.value, 24);
    segment.writeUInt32BE(fields.timestamps.echo, 28);
  }
  const pseudo = Buffer.alloc(12);
  pseudo.writeUInt32BE(fields.source, 0);
  pseudo.writeUInt32BE(fields.destination, 4);
  pseudo.writeUInt16BE(protocolNumber.tcp, 8);
  pseudo.writeUInt16BE(segment.length, 10);
  segment.writeUInt16BE(internetChecksum(segment, sum16(pseudo, 0)), 16);
  return ipv4({source: fields.source, destination: fields.destination, protocol: protocolNumber.tcp, payload: segment});
}

function has(segment: TcpSegment, flag: number): boolean {
  return (segment.flags & flag) !== 0;
}

/** How far a segment moves the sequence: its payload, and one each for SYN and FIN. */
export function sequenceLength(segment: TcpSegment): number {
  return segment.payload.length + (has(segment, tcpFlag.syn) ? 1 : 0) + (has(segment, tcpFlag.fin) ? 1 : 0);
}

/** The RST that RFC 9293 (3.10.7.1) prescribes for a segment of a connection that does not exist; null for a RST. */
export function resetFor(packet: Packet, segment: TcpSegment): Buffer | null {
  if (has(segment, tcpFlag.rst) || !isUnicast(packet.source)) return null;
  const acknowledges = has(segment, tcpFlag.ack);
  return tcp({
    source: packet.destination,
    destination: packet.source,
    sourcePort: segment.destinationPort,
    destinationPort: segment.sourcePort,
    sequence: acknowledges ? segment.acknowledgement : 0,
    acknowledgement: acknowledges ? 0 : (segment.sequence + sequenceLength(segment)) >>> 0,
    flags: acknowledges ? tcpFlag.rst : tcpFlag.rst | tcpFlag.ack,
    window: 0,
    timestamps: null,
  });
}

/** A RST from the client to the app, in place of a segment that the client was told is lost. */
export function resetInPlaceOf(packet: Packet, segment: TcpSegment): Buffer {
  return tcp({
    source: packet.source,
    destination: packet.destination,
    sourcePort: segment.sourcePort,
    destinationPort: segment.destinationPort,
    sequence: segment.sequence,
    acknowledgement: segment.acknowledgement,
    flags: tcpFlag.rst | tcpFlag.ack,
    window: 0,
    timestamps: null,
  });
}

/**
 * The ACK for a keepalive probe. The probe's own echo is the last timestamp that the client has seen of the app, so
 * repeating it passes the client's check for old duplicates.
 */
export function keepaliveAnswer(packet: Packet, segment: TcpSegment): Buffer | null {
  if (!isUnicast(packet.source)) return null;
  return tcp({
    source: packet.destination,
    destination: packet.source,
    sourcePort: segment.destinationPort,
    destinationPort: segment.sourcePort,
    sequence: segment.acknowledgement,
    acknowledgement: (segment.sequence + 1) >>> 0,
    flags: tcpFlag.ack,
    window: answeredWindow,
    timestamps: segment.timestamps === null ? null : {value: segment.timestamps.echo, echo: segment.timestamps.value},
  });
}

export const unreachable = {host: 1, protocol: 2, port: 3} as const;

/** ICMP destination unreachable, with as much of the packet as RFC 1812 allows. */
export function unreachableFor(packet: Packet, code: number): Buffer | null {
  if (!isUnicast(packet.source)) return null;
  const quoted = packet.data.subarray(0, 548);
  const payload = Buffer.alloc(8 + quoted.length);
  payload.writeUInt8(3, 0);
  payload.writeUInt8(code, 1);
  payload.set(quoted, 8);
  payload.writeUInt16BE(internetChecksum(payload), 2);
  return ipv4({source: packet.destination, destination: packet.source, protocol: protocolNumber.icmp, payload});
}

/** The reply to an ICMP echo request. */
export function echoReply(packet: Packet): Buffer | null {
  if (!isUnicast(packet.source) || packet.moreFragments) return null;
  const payload = Buffer.from(packet.data.subarray(packet.headerBytes));
  payload.writeUInt8(0, 0);
  payload.writeUInt16BE(0, 2);
  payload.writeUInt16BE(internetChecksum(payload), 2);
  return ipv4({source: packet.destination, destination: packet.source, protocol: protocolNumber.icmp, payload});
}
