/**
 * The few netlink messages that the wake path needs, rendered and read without a system call: a route to one address,
 * and the listing of an nftables set whose elements run out. netlink(7), rtnetlink(7), linux/netfilter/nf_tables.h.
 */
const messageType = {error: 2, done: 3, newRoute: 24, deleteRoute: 25, newSetElements: (10 << 8) | 12, getSetElements: (10 << 8) | 13} as const;
const messageFlag = {request: 1, acknowledge: 4, dumpInterrupted: 0x10, replace: 0x100, dump: 0x300, create: 0x400} as const;
const headerBytes = 16;

export type MessageTypeName = keyof typeof messageType;

function aligned(size: number): number {
  return (size + 3) & ~3;
}

function attribute(type: number, value: Buffer): Buffer {
  const encoded = Buffer.alloc(aligned(4 + value.length));
  encoded.writeUInt16LE(4 + value.length, 0);
  encoded.writeUInt16LE(type, 2);
  encoded.set(value, 4);
  return encoded;
}

function uint32LE(value: number): Buffer {
  const encoded = Buffer.alloc(4);
  encoded.writeUInt32LE(value);
  return encoded;
}

function uint32BE(value: number): Buffer {
  const encoded = Buffer.alloc(4);
  encoded.writeUInt32BE(value);
  return encoded;
}

function message(options: {type: number; flags: number; sequence: number; body: readonly Buffer[]}): Buffer {
  const body = Buffer.concat(options.body);
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32LE(headerBytes + body.length, 0);
  header.writeUInt16LE(options.type, 4);
  header.writeUInt16LE(options.flags, 6);
  header.writeUInt32LE(options.sequence, 8);
  return Buffer.concat([header, body]);
}

/** A route to the single address `destination` through an interface. */
export interface HostRoute {
  readonly destination: number;
  readonly interfaceIndex: number;
  /** The address that sockets of this host use towards it. */
  readonly source: number;
}

function hostRoute(route: HostRoute): Buffer[] {
  const [family, prefixLength, tableMain, protocolStatic, scopeLink, typeUnicast] = [2, 32, 254, 4, 253, 1] as const;
  const body = Buffer.alloc(12);
  body.set([family, prefixLength, 0, 0, tableMain, protocolStatic, scopeLink, typeUnicast]);
  const [destination, outputInterface, preferredSource] = [1, 4, 7] as const;
  return [
    body,
    attribute(destination, uint32BE(route.destination)),
    attribute(outputInterface, uint32LE(route.interfaceIndex)),
    attribute(preferredSource, uint32BE(route.source)),
  ];
}

/** Adds the route, or replaces the one to the same address. */
export function addRouteMessage(route: HostRoute, sequence: number): Buffer {
  const flags = messageFlag.request | messageFlag.acknowledge | messageFlag.create | messageFlag.replace;
  return message({type: messageType.newRoute, flags, sequence, body: hostRoute(route)});
}

export function deleteRouteMessage(route: HostRoute, sequence: number): Buffer {
  return message({type: messageType.deleteRoute, flags: messageFlag.request | messageFlag.acknowledge, sequence, body: hostRoute(route)});
}

/** Asks for all elements of a set in a table of family `ip`. */
export function listSetMessage(options: {table: string; set: string}, sequence: number): Buffer {
  const family = Buffer.from([2, 0, 0, 0]);
  const body = [family, attribute(1, Buffer.from(`${options.table}\0`)), attribute(2, Buffer.from(`${options.set}\0`))];
  return message({type: messageType.getSetElements, flags: messageFlag.request | messageFlag.dump, sequence, body});
}

export interface Reply {
  readonly type: number;
  readonly sequence: number;
  /** The kernel saw a change while it listed: the listing may lack something. */
  readonly interrupted: boolean;
  readonly body: Buffer;
}

/** Splits what one receive brought. */
export function parseReplies(data: Buffer): Reply[] {
  const replies: Reply[] = [];
  for (let at = 0; at + headerBytes <= data.length; ) {
    const size = data.readUInt32LE(at);
    if (size < headerBytes || at + size > data.length) break;
    replies.push({
      type: data.readUInt16LE(at + 4),
      sequence: data.readUInt32LE(at + 8),
      interrupted: (data.readUInt16LE(at + 6) & messageFlag.dumpInterrupted) !== 0,
      body: data.subarray(at + headerBytes, at + size),
    });
    at += aligned(size);
  }
  return replies;
}

/** The result of a request: a negative errno, 0, or null for a message that is not a result. */
export function replyResult(reply: Reply): number | null {
  if (reply.type !== messageType.error && reply.type !== messageType.done) return null;
  return reply.body.length >= 4 ? reply.body.readInt32LE(0) : 0;
}

function* attributes(data: Buffer): Generator<{readonly type: number; readonly value: Buffer}> {
  for (let at = 0; at + 4 <= data.length; ) {
    const size = data.readUInt16LE(at);
    if (size < 4 || at + size > data.length) return;
    const nested = 0x8000;
    const byteOrder = 0x4000;
    yield {type: data.readUInt16LE(at + 2) & ~(nested | byteOrder), value: data.subarray(at + 4, at + size)};
    at += aligned(size);
  }
}

function findAttribute(data: Buffer, type: number): Buffer | undefined {
  for (const found of attributes(data)) if (found.type === type) return found.value;
  return undefined;
}

/** An element of a set of addresses, and how long it is still in the set. */
export interface ExpiringElement {
  readonly address: number;
  readonly expiresInMs: number;
}

/** The elements in one reply to `listSetMessage`. */
export function parseSetElements(reply: Reply): ExpiringElement[] {
  if (reply.type !== messageType.newSetElements) return [];
  const elements: ExpiringElement[] = [];
  for (const list of attributes(reply.body.subarray(4))) {
    if (list.type !== 3) continue;
    for (const element of attributes(list.value)) {
      const key = findAttribute(findAttribute(element.value, 1) ?? Buffer.alloc(0), 1);
      const expiration = findAttribute(element.value, 5);
      if (key?.length !== 4 || expiration?.length !== 8) continue;
      elements.push({address: key.readUInt32BE(0), expiresInMs: Number(expiration.readBigUInt64BE(0))});
    }
  }
  return elements;
}
