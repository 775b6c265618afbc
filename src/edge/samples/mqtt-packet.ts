/** Reads the packets with which a session of MQTT begins: CONNECT of a client and CONNACK of a server (MQTT 3.1.1 and 5.0, sections 3.1 and 3.2). */
import {connackProperties, connectProperties, type MqttPacketType, type MqttProperty, willProperties} from '../../config/expression/mqtt-fields.ts';

export type MqttField = number | Uint8Array;

export type MqttPacket =
  | {readonly kind: 'packet'; readonly type: MqttPacketType /** By name, or by the number of a property. */; readonly fields: ReadonlyMap<string, MqttField>}
  | {readonly kind: 'incomplete'}
  | {readonly kind: 'invalid'};

/** Thrown where a packet breaks its rules; it does not leave this file. */
class InvalidPacket extends Error {}

/** Takes from the front of bytes. */
class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  take(length: number): Uint8Array {
    if (this.left < length) throw new InvalidPacket();
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  number(size: number): number {
    let value = 0;
    for (const byte of this.take(size)) value = value * 256 + byte;
    return value;
  }

  text(): Uint8Array {
    return this.take(this.number(2));
  }

  /** Seven bits a byte, the least significant ones first. */
  variable(): number {
    let value = 0;
    for (let place = 0; place < 4; place++) {
      const byte = this.number(1);
      value += (byte & 127) * 128 ** place;
      if (byte < 128) return value;
    }
    throw new InvalidPacket();
  }
}

type Fields = Map<string, MqttField>;

const version5 = 5;
const userProperty = 38;

/** Properties that are not there count as zero or empty, as in HAProxy. */
function readProperties(reader: Reader, known: ReadonlyMap<number, MqttProperty>, fields: Fields): void {
  for (const [id, {kind}] of known) fields.set(String(id), kind === 'text' ? new Uint8Array(0) : 0);
  const properties = new Reader(reader.take(reader.variable()));
  const seen = new Set<number>();
  while (properties.left > 0) {
    const id = properties.number(1);
    if (id === userProperty) {
      properties.text();
      properties.text();
      continue;
    }
    const property = known.get(id);
    if (property === undefined || seen.has(id)) throw new InvalidPacket();
    seen.add(id);
    fields.set(String(id), readProperty(properties, property));
  }
}

function readProperty(reader: Reader, {kind, size}: MqttProperty): MqttField {
  if (kind === 'text') return reader.text();
  const value = reader.number(size);
  if ((kind === 'nonzero' && value === 0) || (kind === 'flag' && value > 1)) throw new InvalidPacket();
  return value;
}

const connectFlag = {reserved: 0x01, will: 0x04, willQos: 0x18, willRetain: 0x20, password: 0x40, username: 0x80} as const;

function isEmpty(field: MqttField | undefined): boolean {
  return !(field instanceof Uint8Array) || field.length === 0;
}

function readConnect(reader: Reader, fields: Fields): void {
  const name = reader.text();
  const version = reader.number(1);
  const flags = reader.number(1);
  fields.set('protocol_name', name).set('protocol_version', version).set('flags', flags).set('keepalive', reader.number(2));
  if (!['mqtt', 'mqisdp'].includes(Buffer.from(name).toString('latin1').toLowerCase()) || version < 3 || version > version5) throw new InvalidPacket();
  const ofWill = flags & (connectFlag.will | connectFlag.willQos | connectFlag.willRetain);
  if ((flags & connectFlag.reserved) !== 0 || ofWill === connectFlag.willQos) throw new InvalidPacket();
  if (version === version5) {
    readProperties(reader, connectProperties, fields);
    if (isEmpty(fields.get('21')) && !isEmpty(fields.get('22'))) throw new InvalidPacket();
  }
  fields.set('client_identifier', reader.text());
  if ((flags & connectFlag.will) !== 0) {
    if (version === version5) readProperties(reader, willProperties, fields);
    fields.set('will_topic', reader.text()).set('will_payload', reader.text());
  }
  if ((flags & connectFlag.username) !== 0) fields.set('username', reader.text());
  if ((flags & connectFlag.password) !== 0) fields.set('password', reader.text());
}

/** Which version it is of, only its length tells. */
function readConnack(reader: Reader, fields: Fields): void {
  const version = reader.left === 2 ? 4 : version5;
  const flags = reader.number(1);
  fields.set('protocol_version', version).set('flags', flags).set('reason_code', reader.number(1));
  if (flags > 1) throw new InvalidPacket();
  if (version === version5) {
    readProperties(reader, connackProperties, fields);
    if (reader.left > 0) throw new InvalidPacket();
  }
}

/** @param bytes from the start of one direction of a connection; what stands behind the packet is not looked at */
export function readMqttPacket(bytes: Uint8Array): MqttPacket {
  const [first = 0] = bytes;
  if (bytes.length < 2) return {kind: 'incomplete'};
  if (first !== 0x10 && first !== 0x20) return {kind: 'invalid'};
  const lengthEnd = bytes.findIndex((byte, at) => at > 0 && (byte < 128 || at === 4));
  if (lengthEnd < 0) return {kind: 'incomplete'};
  try {
    const length = new Reader(bytes.subarray(1, lengthEnd + 1)).variable();
    if (bytes.length - lengthEnd - 1 < length) return {kind: 'incomplete'};
    const reader = new Reader(bytes.subarray(lengthEnd + 1, lengthEnd + 1 + length));
    const fields: Fields = new Map();
    const type = first === 0x10 ? 'connect' : 'connack';
    if (type === 'connect') readConnect(reader, fields);
    else readConnack(reader, fields);
    return reader.left > 0 ? {kind: 'invalid'} : {kind: 'packet', type, fields};
  } catch (error) {
    if (error instanceof InvalidPacket) return {kind: 'invalid'};
    throw error;
  }
}
