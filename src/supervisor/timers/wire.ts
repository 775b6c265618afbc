/**
 * Protocol-buffer messages as fields that can be read and replaced one by one. A message that is decoded by a schema and encoded again loses
 * what the schema does not know; here everything else stays as it is, byte by byte.
 */
import {CodedError} from '../../core/errors.ts';

export type WireField =
  | {readonly kind: 'varint'; readonly number: number; readonly value: bigint}
  | {readonly kind: 'bytes'; readonly number: number; readonly value: Buffer}
  /** Of four or eight bytes. */
  | {readonly kind: 'fixed'; readonly number: number; readonly value: Buffer};

const wireType = {varint: 0, eight: 1, bytes: 2, four: 5} as const;

/** @throws CodedError ERR_CRIU_IMAGE */
export function readFields(message: Buffer): WireField[] {
  const fields: WireField[] = [];
  const reader = {message, at: 0};
  while (reader.at < message.length) {
    const tag = Number(readVarint(reader));
    const number = tag >>> 3;
    switch (tag & 7) {
      case wireType.varint:
        fields.push({kind: 'varint', number, value: readVarint(reader)});
        break;
      case wireType.bytes:
        fields.push({kind: 'bytes', number, value: take(reader, Number(readVarint(reader)))});
        break;
      case wireType.eight:
        fields.push({kind: 'fixed', number, value: take(reader, 8)});
        break;
      case wireType.four:
        fields.push({kind: 'fixed', number, value: take(reader, 4)});
        break;
      default:
        throw damaged();
    }
  }
  return fields;
}

export function writeFields(fields: readonly WireField[]): Buffer {
  return Buffer.concat(fields.flatMap(encoded));
}

function encoded(field: WireField): Buffer[] {
  const tag = (type: number): Buffer => varint(BigInt(field.number * 8 + type));
  switch (field.kind) {
    case 'varint':
      return [tag(wireType.varint), varint(field.value)];
    case 'bytes':
      return [tag(wireType.bytes), varint(BigInt(field.value.length)), field.value];
    case 'fixed':
      return [tag(field.value.length === 8 ? wireType.eight : wireType.four), field.value];
    default:
      return field satisfies never;
  }
}

/** The last one counts; undefined when there is none. */
export function varintIn(fields: readonly WireField[], number: number): bigint | undefined {
  const field = fields.findLast((candidate) => candidate.number === number);
  return field?.kind === 'varint' ? field.value : undefined;
}

/** The fields of a message inside; none when it is not there. */
export function messageIn(fields: readonly WireField[], number: number): WireField[] {
  const field = fields.findLast((candidate) => candidate.number === number);
  return field?.kind === 'bytes' ? readFields(field.value) : [];
}

interface Reader {
  readonly message: Buffer;
  at: number;
}

function readVarint(reader: Reader): bigint {
  let value = 0n;
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = reader.message[reader.at++];
    if (byte === undefined) throw damaged();
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return BigInt.asUintN(64, value);
  }
  throw damaged();
}

function take(reader: Reader, length: number): Buffer {
  const end = reader.at + length;
  if (end > reader.message.length) throw damaged();
  const found = reader.message.subarray(reader.at, end);
  reader.at = end;
  return found;
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let left = BigInt.asUintN(64, value);
  for (; left >= 0x80n; left >>= 7n) bytes.push(Number(left & 0x7fn) | 0x80);
  return Buffer.from([...bytes, Number(left)]);
}

function damaged(): CodedError {
  return new CodedError('ERR_CRIU_IMAGE', 'Cannot read an image of CRIU: it is no protocol-buffer message', {source: 'host'});
}
