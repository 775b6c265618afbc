/** Packets for tests, built field by field and independently of the code under test. */
import {ipv4ToNumber} from '../../src/nat/ipv4.ts';

export const app = '10.77.0.2';
export const client = '192.0.2.7';
export const flag = {fin: 1, syn: 2, rst: 4, psh: 8, ack: 16} as const;

interface Ip {
  readonly from?: string;
  readonly to?: string;
  readonly identification?: number;
  /** Flags and offset. */
  readonly fragment?: number;
}

export function ip(protocol: number, payload: Uint8Array, {from = client, to = app, identification = 1, fragment = 0}: Ip = {}): Buffer {
  const header = Buffer.alloc(20);
  header[0] = 0x45;
  header.writeUInt16BE(20 + payload.length, 2);
  header.writeUInt16BE(identification, 4);
  header.writeUInt16BE(fragment, 6);
  header[8] = 63;
  header[9] = protocol;
  header.writeUInt32BE(ipv4ToNumber(from), 12);
  header.writeUInt32BE(ipv4ToNumber(to), 16);
  return Buffer.concat([header, payload]);
}

export interface Segment extends Ip {
  readonly sourcePort?: number;
  readonly port?: number;
  readonly sequence?: number;
  readonly acknowledgement?: number;
  readonly flags: number;
  readonly payload?: string;
  readonly timestamps?: readonly [number, number];
}

export function tcp(segment: Segment): Buffer {
  const options = Buffer.alloc(segment.timestamps === undefined ? 0 : 12);
  if (segment.timestamps !== undefined) {
    options.set([1, 1, 8, 10]);
    options.writeUInt32BE(segment.timestamps[0], 4);
    options.writeUInt32BE(segment.timestamps[1], 8);
  }
  const header = Buffer.alloc(20);
  header.writeUInt16BE(segment.sourcePort ?? 40_000, 0);
  header.writeUInt16BE(segment.port ?? 80, 2);
  header.writeUInt32BE(segment.sequence ?? 1000, 4);
  header.writeUInt32BE(segment.acknowledgement ?? 0, 8);
  header[12] = ((20 + options.length) / 4) << 4;
  header[13] = segment.flags;
  return ip(6, Buffer.concat([header, options, Buffer.from(segment.payload ?? '')]), segment);
}

export function udp(options: Ip & {readonly port?: number; readonly payload?: string} = {}): Buffer {
  const payload = Buffer.from(options.payload ?? 'question');
  const header = Buffer.alloc(8);
  header.writeUInt16BE(40_000, 0);
  header.writeUInt16BE(options.port ?? 53, 2);
  header.writeUInt16BE(8 + payload.length, 4);
  return ip(17, Buffer.concat([header, payload]), options);
}

export function icmp(type: number, code: number, rest: Uint8Array, options: Ip = {}): Buffer {
  return ip(1, Buffer.concat([Buffer.from([type, code, 0, 0, 0, 0, 0, 0]), rest]), options);
}

/** True when the checksum over `data`, which includes the checksum itself, is right. */
export function sumsUp(data: Uint8Array): boolean {
  let sum = 0;
  for (let at = 0; at < data.length; at += 2) sum += (data[at] ?? 0) * 256 + (data[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  return sum === 0xffff;
}
