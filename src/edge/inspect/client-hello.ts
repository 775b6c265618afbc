/**
 * Reads a TLS ClientHello (RFC 8446, section 4.1.2; extensions of RFC 6066, 7301) from the first bytes of a stream, which may be all of it,
 * a part, or something else. The message may be spread over several records (RFC 8446, section 5.1). Strict where leniency would let a client
 * show us one name and its server another: a malformed or ambiguous hello is none.
 */

export type ClientHelloReading =
  | {
      readonly kind: 'complete';
      /** As it was sent; letters may have either case. */
      readonly sni: string | null;
      /** In the client's order of preference. */
      readonly alpn: readonly string[];
      /** The highest version offered, as HAProxy counts: 65536 * major + minor, so that TLS 1.2 (3.3) is 196611. */
      readonly version: number;
      /** That of the field which stays at 3.3 since TLS 1.3, counted in the same way: what `req.ssl_ver` of HAProxy 2.6 is. */
      readonly legacyVersion: number;
      /** Of the record that carries it. */
      readonly recordVersion: number;
    }
  /** More bytes may make one of it. */
  | {readonly kind: 'incomplete'}
  /** Whatever follows, it is not one. */
  | {readonly kind: 'none'};

/** A hello that needs more bytes than this, headers of records included, is none: as many as HAProxy's buffer has, and space for headers. */
export const maxClientHelloBytes = 16 * 1024 + 1024;

const handshakeRecord = 22;
const clientHello = 1;
const recordHeaderBytes = 5;
const messageHeaderBytes = 4;
const maxRecordBytes = 16 * 1024;
const maxNameBytes = 255;

const incomplete = {kind: 'incomplete'} as const;
const none = {kind: 'none'} as const;

/** Never throws; looks at no more than the first {@link maxClientHelloBytes}. */
export function parseClientHello(payload: Uint8Array): ClientHelloReading {
  const message = handshakeMessage(payload);
  if (!(message instanceof Uint8Array)) return message;
  try {
    return readHello(new Reader(message), hexVersion(payload[1] ?? 0, payload[2] ?? 0));
  } catch (error) {
    if (error instanceof MalformedError) return none;
    throw error;
  }
}

/** The body of the first handshake message: a view when one record holds it, else a copy. */
function handshakeMessage(payload: Uint8Array): Uint8Array | typeof incomplete | typeof none {
  const pieces: Uint8Array[] = [];
  let gathered = 0;
  let needed: number | null = null;
  for (let at = 0; ; ) {
    if (!mayStartRecord(payload, at)) return none;
    if (payload.length < at + recordHeaderBytes) return within(at + recordHeaderBytes);
    const start = at + recordHeaderBytes;
    const size = uint16(payload, start - 2);
    if (size === 0 || size > maxRecordBytes) return none;
    const piece = payload.subarray(start, start + size);
    pieces.push(piece);
    gathered += piece.length;
    if (!mayBeHello(pieces)) return none;
    if (gathered >= messageHeaderBytes) needed ??= messageHeaderBytes + messageSize(pieces);
    if (needed !== null && gathered >= needed) return joined(pieces, gathered).subarray(messageHeaderBytes, needed);
    const missing = (needed ?? messageHeaderBytes) - gathered;
    if (piece.length < size) return within(payload.length + missing);
    at = start + size;
    if (within(at + recordHeaderBytes + missing) === none) return none;
  }
}

function within(bytes: number): typeof incomplete | typeof none {
  return bytes > maxClientHelloBytes ? none : incomplete;
}

/** Type 22, major version 3; bytes that are not here yet are given the benefit of the doubt. */
function mayStartRecord(payload: Uint8Array, at: number): boolean {
  return (payload[at] ?? handshakeRecord) === handshakeRecord && (payload[at + 1] ?? 3) === 3;
}

function mayBeHello([first]: readonly Uint8Array[]): boolean {
  return (first?.[0] ?? clientHello) === clientHello;
}

/** From the header, which may be spread over the first pieces. */
function messageSize(pieces: readonly Uint8Array[]): number {
  const header: number[] = [];
  for (const piece of pieces) header.push(...piece.subarray(0, messageHeaderBytes - header.length));
  const [, high = 0, middle = 0, low = 0] = header;
  return high * 65536 + middle * 256 + low;
}

function joined(pieces: readonly Uint8Array[], size: number): Uint8Array {
  const [first] = pieces;
  if (first !== undefined && pieces.length === 1) return first;
  const whole = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

function uint16(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0);
}

function hexVersion(major: number, minor: number): number {
  return major * 65536 + minor;
}

function readHello(hello: Reader, recordVersion: number): ClientHelloReading {
  const legacyVersion = hello.uint16();
  if (legacyVersion >> 8 !== 3) throw new MalformedError();
  hello.skip(32); // random
  hello.vector(1, 0, 32); // session
  hello.vector(2, 2); // cipher suites
  hello.vector(1, 1); // compression
  let sni: string | null = null;
  let alpn: readonly string[] = [];
  let version = legacyVersion;
  // Clients of the time before extensions end here.
  const extensions = hello.atEnd ? null : hello.vector(2);
  const seen = new Set<number>();
  while (extensions?.atEnd === false) {
    const type = extensions.uint16();
    const content = extensions.vector(2);
    if (seen.has(type)) throw new MalformedError();
    seen.add(type);
    if (type === 0) sni = serverName(content);
    else if (type === 16) alpn = protocolNames(content);
    else if (type === 43) version = highestVersion(content) ?? version;
  }
  if (!hello.atEnd) throw new MalformedError();
  return {
    kind: 'complete',
    sni,
    alpn,
    version: hexVersion(version >> 8, version & 255),
    legacyVersion: hexVersion(legacyVersion >> 8, legacyVersion & 255),
    recordVersion,
  };
}

/** RFC 6066, section 3: a list with at most one name of each type, of which only `host_name` (0) exists. */
function serverName(content: Reader): string | null {
  const list = content.vector(2, 1);
  let name: string | null = null;
  while (!list.atEnd) {
    const type = list.uint8();
    const bytes = list.vector(2, 1, type === 0 ? maxNameBytes : 65535).rest();
    if (type !== 0) continue;
    if (name !== null || !isPrintable(bytes)) throw new MalformedError();
    name = latin1(bytes);
  }
  if (!content.atEnd) throw new MalformedError();
  return name;
}

/** RFC 7301, section 3.1. */
function protocolNames(content: Reader): readonly string[] {
  const names: string[] = [];
  const list = content.vector(2, 2);
  while (!list.atEnd) names.push(latin1(list.vector(1, 1).rest()));
  if (!content.atEnd) throw new MalformedError();
  return names;
}

/** RFC 8446, section 4.2.1. Other values (RFC 8701) are there to be ignored. */
function highestVersion(content: Reader): number | null {
  let highest: number | null = null;
  const list = content.vector(1, 2);
  while (!list.atEnd) {
    const version = list.uint16();
    if (version >= 0x0300 && version <= 0x0304 && version > (highest ?? 0)) highest = version;
  }
  return highest;
}

function isPrintable(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte > 0x20 && byte < 0x7f);
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

/** The bytes contradict themselves. Never leaves this file. */
class MalformedError extends Error {}

/** Takes integers and vectors (RFC 8446, section 3) from bytes, and throws MalformedError where they end too early. */
class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  uint8(): number {
    const value = this.#bytes[this.#at++];
    if (value === undefined) throw new MalformedError();
    return value;
  }

  uint16(): number {
    return this.uint8() * 256 + this.uint8();
  }

  skip(count: number): void {
    if (this.#at + count > this.#bytes.length) throw new MalformedError();
    this.#at += count;
  }

  /** What comes after a length of one or two bytes. */
  vector(lengthBytes: 1 | 2, min = 0, max = 65535): Reader {
    const size = lengthBytes === 1 ? this.uint8() : this.uint16();
    if (size < min || size > max) throw new MalformedError();
    const start = this.#at;
    this.skip(size);
    return new Reader(this.#bytes.subarray(start, start + size));
  }

  rest(): Uint8Array {
    const bytes = this.#bytes.subarray(this.#at);
    this.#at = this.#bytes.length;
    return bytes;
  }
}
