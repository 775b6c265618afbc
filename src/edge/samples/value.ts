/** The casts between types of samples, as HAProxy makes them between a fetch, its converters and what is done with the result. */
import {formatAddress, parseAddress} from './address.ts';
import type {SampleValue} from './context.ts';

export type Found = NonNullable<SampleValue>;

export function textValue(value: string): Found {
  return {type: 'str', value};
}

export function intValue(value: number): Found {
  return {type: 'int', value};
}

export const yes: Found = {type: 'bool', value: true};
export const no: Found = {type: 'bool', value: false};

export function boolValue(value: boolean): Found {
  return value ? yes : no;
}

export function addressValue(host: string): SampleValue {
  return host === '' ? null : {type: 'ip', value: host};
}

/** Text of the configuration (any characters) as a string of bytes, one character per byte of its UTF-8 form. */
export function byteString(text: string): string {
  // ASCII, nearly always.
  return /^[\x00-\x7f]*$/.test(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}

export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

/** A decimal integer; numbers beyond 64 bits are at their limit, as counted there. */
export function integerText(value: number): string {
  if (Number.isSafeInteger(value)) return String(value);
  return String(clampToInt64(BigInt(Math.trunc(value))));
}

const maxInt64 = 2n ** 63n - 1n;
const minInt64 = -(2n ** 63n);

export function clampToInt64(value: bigint): bigint {
  if (value > maxInt64) return maxInt64;
  return value < minInt64 ? minInt64 : value;
}

/** The string of bytes that a sample is when a text is wanted. What is binary ends at its first zero byte, as a C string does. */
export function toText(value: Found): string {
  switch (value.type) {
    case 'str':
    case 'ip':
    case 'method':
      return value.value;
    case 'int':
      return integerText(value.value);
    case 'bool':
      return value.value ? '1' : '0';
    case 'bin': {
      const end = value.value.indexOf(0);
      return latin1(end < 0 ? value.value : value.value.subarray(0, end));
    }
    default:
      return value satisfies never;
  }
}

/** Reads a decimal number at the start of a text, like read_int64(): `12abc` is 12, and a text without digits is 0. */
export function leadingInteger(text: string): number {
  const found = /^[+-]?[0-9]+/.exec(text);
  return found === null ? 0 : Number(found[0]);
}

/** Null: a value of this type, or an empty text, is no number. */
export function toInteger(value: Found): number | null {
  switch (value.type) {
    case 'int':
      return value.value;
    case 'bool':
      return value.value ? 1 : 0;
    case 'str':
      return value.value === '' ? null : leadingInteger(value.value);
    case 'ip': {
      const address = parseAddress(value.value);
      return address?.family === 4 ? address.bits : null;
    }
    case 'bin':
    case 'method':
      return null;
    default:
      return value satisfies never;
  }
}

export function toBoolean(value: Found): boolean | null {
  if (value.type === 'bool') return value.value;
  if (value.type === 'ip') return null;
  const number = toInteger(value);
  return number === null ? null : number !== 0;
}

/** Integers are eight bytes, addresses four or sixteen, in network order. */
export function toBytes(value: Found): Uint8Array | null {
  switch (value.type) {
    case 'bin':
      return value.value;
    case 'str':
    case 'method':
      return Buffer.from(value.value, 'latin1');
    case 'int':
    case 'bool': {
      const bytes = Buffer.alloc(8);
      bytes.writeBigInt64BE(clampToInt64(BigInt(Math.trunc(Number(value.value)))));
      return bytes;
    }
    case 'ip': {
      const address = parseAddress(value.value);
      if (address === null) return null;
      if (address.family === 4) return Uint8Array.of(address.bits >>> 24, (address.bits >>> 16) & 255, (address.bits >>> 8) & 255, address.bits & 255);
      return Buffer.from(address.bits.toString(16).padStart(32, '0'), 'hex');
    }
    default:
      return value satisfies never;
  }
}

/** The canonical text of an address; null: the sample is none. */
export function toAddress(value: Found): string | null {
  switch (value.type) {
    case 'ip':
      return value.value;
    case 'str': {
      const address = parseAddress(value.value);
      return address === null ? null : formatAddress(address);
    }
    case 'int':
      return formatAddress({family: 4, bits: Number(BigInt.asUintN(32, BigInt(Math.trunc(value.value))))});
    case 'bin':
    case 'bool':
    case 'method':
      return null;
    default:
      return value satisfies never;
  }
}
