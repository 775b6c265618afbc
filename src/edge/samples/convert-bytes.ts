/** Converters on bytes, URLs and addresses: HAProxy's manual, section 7.3.1. */
import {createHash, createHmac, getHashes, timingSafeEqual} from 'node:crypto';
import {formatAddress, maskAddress, maskLength, parseAddress} from './address.ts';
import {avalanche, crc32, crc32c, djb2, sdbm} from './checksums.ts';
import {badCall, type Converter, type ConverterBuilder, integerArgument, neededArgument, simple, textArgument, textOrVariable} from './fetch.ts';
import {boolValue, type Found, intValue, textValue, toAddress, toBytes, toText} from './value.ts';
import {checkVariableName} from './variables.ts';

function onBytes(convert: (bytes: Uint8Array) => Found | null): ConverterBuilder {
  return simple((value) => {
    const bytes = toBytes(value);
    return bytes === null ? null : convert(bytes);
  });
}

function buffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function checksum(hash: (bytes: Uint8Array) => number): ConverterBuilder {
  return (call): Converter => {
    const mixed = integerArgument(call, 0, 0) !== 0;
    return (value) => {
      const bytes = toBytes(value);
      if (bytes === null) return null;
      return intValue(mixed ? avalanche(hash(bytes)) : hash(bytes));
    };
  };
}

function digest(algorithm: string): Converter {
  return (value) => {
    const bytes = toBytes(value);
    return bytes === null ? null : {type: 'bin', value: createHash(algorithm).update(bytes).digest()};
  };
}

const sha2: ConverterBuilder = (call) => {
  const bits = integerArgument(call, 0, 256);
  if (![224, 256, 384, 512].includes(bits)) throw badCall(call, `${bits} is none of 224, 256, 384, 512`);
  return digest(`sha${bits}`);
};

function algorithmArgument(call: Parameters<ConverterBuilder>[0]): string {
  const algorithm = neededArgument(call, 0, 'an algorithm').toLowerCase();
  if (!getHashes().includes(algorithm)) throw badCall(call, `there is no algorithm "${algorithm}"`);
  return algorithm;
}

/** Base64 of RFC 4648, section 4; null: it is not. */
function decodedKey(text: string): Buffer | null {
  return text !== '' && text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text) ? Buffer.from(text, 'base64') : null;
}

const hmac: ConverterBuilder = (call) => {
  const algorithm = algorithmArgument(call);
  const keyOf = textOrVariable(neededArgument(call, 1, 'a key in base64'));
  return (value, context) => {
    const bytes = toBytes(value);
    const key = decodedKey(keyOf(context) ?? '');
    return bytes === null || key === null ? null : {type: 'bin', value: createHmac(algorithm, key).update(bytes).digest()};
  };
};

/** Takes as long whatever differs. What is of another length is another thing. */
const secureCompare: ConverterBuilder = (call) => {
  const name = checkVariableName(neededArgument(call, 0, 'the name of a variable'));
  return (value, context) => {
    const found = context.variables.get(name);
    const [left, right] = [toBytes(value), found === null ? null : toBytes(found)];
    if (left === null || right === null) return null;
    return boolValue(left.length === right.length && timingSafeEqual(left, right));
  };
};

const bytes: ConverterBuilder = (call) => {
  const offset = integerArgument(call, 0, null);
  const length = integerArgument(call, 1, 0);
  const toTheEnd = (call.args[1] ?? '') === '';
  if (offset < 0 || length < 0) throw badCall(call, 'offset and length are not below zero');
  return (value) => {
    const all = toBytes(value);
    if (all === null || offset > all.length) return null;
    return {type: 'bin', value: all.subarray(offset, toTheEnd ? undefined : offset + length)};
  };
};

/** Decoding stops the whole expression when the text is not in that form. */
function base64(alphabet: RegExp, padded: boolean): ConverterBuilder {
  return simple((value) => {
    const text = toText(value);
    if (!alphabet.test(text) || (padded && text.length % 4 !== 0)) return null;
    return {type: 'bin', value: Buffer.from(text, 'base64')};
  });
}

/** Whole chunks of `size`, and the rest too unless it is cut off. */
function chunksOf(all: Uint8Array, size: number, truncate: boolean): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < all.length; at += size) {
    if (truncate && at + size > all.length) break;
    chunks.push(all.subarray(at, at + size));
  }
  return chunks;
}

const toDecimals: ConverterBuilder = (call) => {
  const separator = textArgument(call, 0);
  const size = integerArgument(call, 1, null);
  const truncate = integerArgument(call, 2, 0) !== 0;
  if (size < 1 || size > 8) throw badCall(call, 'a chunk has 1 to 8 bytes');
  return (value) => {
    const all = toBytes(value);
    if (all === null) return null;
    return textValue(
      chunksOf(all, size, truncate)
        .map((chunk) => BigInt(`0x${buffer(chunk).toString('hex')}`))
        .join(separator),
    );
  };
};

const toHex: ConverterBuilder = (call) => {
  const separator = textArgument(call, 0);
  const size = integerArgument(call, 1, 1);
  const truncate = integerArgument(call, 2, 0) !== 0;
  if (size < 1) throw badCall(call, 'a chunk has at least one byte');
  return (value) => {
    const all = toBytes(value);
    if (all === null) return null;
    return textValue(
      chunksOf(all, size, truncate)
        .map((chunk) => buffer(chunk).toString('hex').toUpperCase())
        .join(separator),
    );
  };
};

/** RFC 3986, section 2.1. A percent sign that is followed by anything else stops the whole expression. */
const urlDecode: ConverterBuilder = (call) => {
  const form = integerArgument(call, 0, 0) !== 0;
  return (value) => {
    const text = toText(value);
    if (/%(?![0-9A-Fa-f]{2})/.test(text)) return null;
    const query = form ? 0 : text.indexOf('?');
    const spaced = query < 0 ? text : text.slice(0, query) + text.slice(query).replaceAll('+', ' ');
    return textValue(spaced.replace(/%(..)/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16))));
  };
};

const urlEncode: ConverterBuilder = (call) => {
  if (!['', 'query'].includes(textArgument(call, 0))) throw badCall(call, 'the only type is query');
  return (value) => textValue(toText(value).replace(/[^A-Za-z0-9._~-]/gs, percent));
};

function percent(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}

const ipmask: ConverterBuilder = (call) => {
  const mask4 = maskLength(neededArgument(call, 0, 'a mask of IPv4'), 4);
  const mask6 = textArgument(call, 1) === '' ? undefined : maskLength(textArgument(call, 1), 6);
  if (mask4 === null || mask6 === null) throw badCall(call, 'a mask is a number of bits, or an address with ones only in front');
  return (value) => {
    const text = toAddress(value);
    const address = text === null ? null : parseAddress(text);
    const length = address?.family === 4 ? mask4 : mask6;
    return address === null || length === undefined ? null : {type: 'ip', value: formatAddress(maskAddress(address, length))};
  };
};

export const bytesConverters: Readonly<Record<string, ConverterBuilder>> = {
  bytes,
  hex: onBytes((all) => textValue(buffer(all).toString('hex').toUpperCase())),
  hex2i: simple((value) => {
    const digits = toText(value);
    return /^[0-9a-f]{1,16}$/i.test(digits) ? intValue(Number(BigInt.asIntN(64, BigInt(`0x${digits}`)))) : null;
  }),
  be2dec: toDecimals,
  be2hex: toHex,
  base64: onBytes((all) => textValue(buffer(all).toString('base64'))),
  ub64enc: onBytes((all) => textValue(buffer(all).toString('base64url'))),
  b64dec: base64(/^[A-Za-z0-9+/]*={0,2}$/, true),
  ub64dec: base64(/^[A-Za-z0-9_-]*$/, false),
  crc32: checksum(crc32),
  crc32c: checksum(crc32c),
  djb2: checksum(djb2),
  sdbm: checksum(sdbm),
  sha1: simple(digest('sha1')),
  sha2,
  digest: (call) => digest(algorithmArgument(call)),
  hmac,
  secure_memcmp: secureCompare,
  url_dec: urlDecode,
  url_enc: urlEncode,
  ipmask,
  htonl: simple((value) => {
    const all = toBytes(value);
    return value.type !== 'int' || all === null ? null : {type: 'bin', value: all.subarray(4)};
  }),
};
