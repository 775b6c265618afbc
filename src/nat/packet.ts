/**
 * Reads what the hold queue must know of an IPv4 packet. Whatever came over the network may be truncated or lie about
 * its lengths: each length is checked against what is there, and a packet that does not add up is `undefined`.
 */
export const tcpFlag = {fin: 1, syn: 2, rst: 4, psh: 8, ack: 16} as const;
export const protocolNumber = {icmp: 1, tcp: 6, udp: 17} as const;

export interface TcpSegment {
  readonly kind: 'tcp';
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  readonly acknowledgement: number;
  readonly flags: number;
  /** What follows the header. */
  readonly payload: Uint8Array;
  /** The timestamps option, if there is one. */
  readonly timestamps: {readonly value: number; readonly echo: number} | null;
}

export interface UdpDatagram {
  readonly kind: 'udp';
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export interface IcmpMessage {
  readonly kind: 'icmp';
  readonly type: number;
  readonly code: number;
  /** In an error message: the ports of the TCP segment that caused it. */
  readonly about: {readonly source: number; readonly destination: number; readonly sourcePort: number; readonly destinationPort: number} | null;
}

export interface Packet {
  /** The packet itself, without what a link layer may have added behind it. */
  readonly data: Buffer;
  readonly headerBytes: number;
  readonly source: number;
  readonly destination: number;
  readonly protocol: number;
  readonly identification: number;
  readonly moreFragments: boolean;
  /** `later fragment`: not the first one, so without ports; `other`: another protocol. */
  readonly transport: TcpSegment | UdpDatagram | IcmpMessage | {readonly kind: 'later fragment'} | {readonly kind: 'other'};
}

/** The options of a TCP header, of which only the timestamps matter here. */
function readTimestamps(options: Buffer): TcpSegment['timestamps'] {
  let at = 0;
  while (at < options.length) {
    const kind = options[at] ?? 0;
    if (kind === 0) return null;
    if (kind === 1) {
      at++;
      continue;
    }
    const size = options[at + 1] ?? 0;
    if (size < 2 || at + size > options.length) return null;
    if (kind === 8 && size === 10) return {value: options.readUInt32BE(at + 2), echo: options.readUInt32BE(at + 6)};
    at += size;
  }
  return null;
}

function readTcp(data: Buffer): TcpSegment | undefined {
  if (data.length < 20) return undefined;
  const headerBytes = (data.readUInt8(12) >>> 4) * 4;
  if (headerBytes < 20 || headerBytes > data.length) return undefined;
  return {
    kind: 'tcp',
    sourcePort: data.readUInt16BE(0),
    destinationPort: data.readUInt16BE(2),
    sequence: data.readUInt32BE(4),
    acknowledgement: data.readUInt32BE(8),
    flags: data.readUInt8(13),
    payload: data.subarray(headerBytes),
    timestamps: readTimestamps(data.subarray(20, headerBytes)),
  };
}

const icmpErrorTypes: ReadonlySet<number> = new Set([3, 4, 5, 11, 12]);

function readIcmp(data: Buffer): IcmpMessage | undefined {
  if (data.length < 8) return undefined;
  const type = data.readUInt8(0);
  const code = data.readUInt8(1);
  const inner = data.subarray(8);
  const innerHeaderBytes = ((inner[0] ?? 0) & 15) * 4;
  const readable = icmpErrorTypes.has(type) && (inner[0] ?? 0) >>> 4 === 4 && innerHeaderBytes >= 20 && inner.length >= innerHeaderBytes + 4;
  if (!readable || inner[9] !== protocolNumber.tcp) return {kind: 'icmp', type, code, about: null};
  const about = {
    source: inner.readUInt32BE(12),
    destination: inner.readUInt32BE(16),
    sourcePort: inner.readUInt16BE(innerHeaderBytes),
    destinationPort: inner.readUInt16BE(innerHeaderBytes + 2),
  };
  return {kind: 'icmp', type, code, about};
}

function readTransport(protocol: number, payload: Buffer): Packet['transport'] | undefined {
  switch (protocol) {
    case protocolNumber.tcp:
      return readTcp(payload);
    case protocolNumber.udp:
      return payload.length < 8 ? undefined : {kind: 'udp', sourcePort: payload.readUInt16BE(0), destinationPort: payload.readUInt16BE(2)};
    case protocolNumber.icmp:
      return readIcmp(payload);
    default:
      return {kind: 'other'};
  }
}

/** @returns undefined for what is not a well-formed IPv4 packet */
export function parsePacket(raw: Buffer): Packet | undefined {
  if (raw.length < 20 || raw.readUInt8(0) >>> 4 !== 4) return undefined;
  const headerBytes = (raw.readUInt8(0) & 15) * 4;
  const totalBytes = raw.readUInt16BE(2);
  if (headerBytes < 20 || totalBytes < headerBytes || totalBytes > raw.length) return undefined;
  const data = raw.subarray(0, totalBytes);
  const fragment = data.readUInt16BE(6);
  const protocol = data.readUInt8(9);
  const transport: Packet['transport'] | undefined = (fragment & 0x1fff) > 0 ? {kind: 'later fragment'} : readTransport(protocol, data.subarray(headerBytes));
  if (transport === undefined) return undefined;
  return {
    data,
    headerBytes,
    source: data.readUInt32BE(12),
    destination: data.readUInt32BE(16),
    protocol,
    identification: data.readUInt16BE(4),
    moreFragments: (fragment & 0x2000) !== 0,
    transport,
  };
}
