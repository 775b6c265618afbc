/** What a sample is as the key of a stick table of some type: text that is equal for equal keys, and readable. */
import {isIP, isIPv4, SocketAddress} from 'node:net';
import type {StickTableConfig} from '../../config/proxy-value.ts';
import type {SampleValue} from '../samples/context.ts';

type KeyForm = Pick<StickTableConfig, 'type' | 'keyBytes'>;

const mappedPrefix = '::ffff:';

/** Null: the sample is nothing, or cannot be a key of that type. */
export function stickKey({type, keyBytes}: KeyForm, sample: SampleValue): string | null {
  if (sample === null) return null;
  switch (type) {
    case 'ip':
      return ipv4Key(sample);
    case 'ipv6':
      return ipv6Key(sample);
    case 'integer':
      return integerKey(sample);
    case 'string':
      return stringKey(sample, keyBytes);
    case 'binary':
      return binaryKey(sample, keyBytes);
    default:
      return type satisfies never;
  }
}

/** A key as an operator writes it. */
export function stickKeyFromText(form: KeyForm, text: string): string | null {
  if (form.type === 'binary') return /^(?:[0-9a-f]{2})+$/i.test(text) ? binaryKey({type: 'bin', value: Buffer.from(text, 'hex')}, form.keyBytes) : null;
  return stickKey(form, {type: 'str', value: text});
}

type Sample = NonNullable<SampleValue>;

function textOf(sample: Sample): string {
  return sample.type === 'bin' ? Buffer.from(sample.value).toString('latin1') : String(sample.type === 'bool' ? Number(sample.value) : sample.value);
}

function ipv4Key(sample: Sample): string | null {
  if (sample.type === 'int') return addressOfNumber(sample.value);
  const text = textOf(sample);
  const plain = text.toLowerCase().startsWith(mappedPrefix) ? text.slice(mappedPrefix.length) : text;
  return isIPv4(plain) ? plain : null;
}

function ipv6Key(sample: Sample): string | null {
  const text = sample.type === 'int' ? addressOfNumber(sample.value) : textOf(sample);
  const version = isIP(text);
  if (version === 4) return mappedPrefix + text;
  return version === 6 ? canonicalIpv6(text) : null;
}

function canonicalIpv6(text: string): string {
  return new SocketAddress({address: text, family: 'ipv6'}).address;
}

function addressOfNumber(value: number): string {
  const bits = value >>> 0;
  return `${bits >>> 24}.${(bits >>> 16) & 255}.${(bits >>> 8) & 255}.${bits & 255}`;
}

function integerKey(sample: Sample): string | null {
  if (sample.type === 'int') return String(sample.value >>> 0);
  if (sample.type === 'bool') return String(Number(sample.value));
  const text = textOf(sample);
  if (isIPv4(text)) {
    const [a = 0, b = 0, c = 0, d = 0] = text.split('.').map(Number);
    return String(((a << 24) | (b << 16) | (c << 8) | d) >>> 0);
  }
  return /^-?\d{1,20}$/.test(text) ? String(Number(BigInt.asUintN(32, BigInt(text)))) : null;
}

/** Longer keys are cut. */
function stringKey(sample: Sample, keyBytes: number): string {
  const text = textOf(sample);
  return text.length > keyBytes ? text.slice(0, keyBytes) : text;
}

/** In hexadecimal; longer keys are cut, shorter ones are filled with zeros. */
function binaryKey(sample: Sample, keyBytes: number): string {
  const bytes = sample.type === 'bin' ? Buffer.from(sample.value) : sample.type === 'int' ? integerBytes(sample.value) : Buffer.from(textOf(sample), 'latin1');
  return bytes
    .subarray(0, keyBytes)
    .toString('hex')
    .padEnd(keyBytes * 2, '0');
}

function integerBytes(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(Math.trunc(value)));
  return bytes;
}
