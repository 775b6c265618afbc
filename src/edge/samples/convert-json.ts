/** Converters on JSON and on JSON Web Tokens (RFC 7515, RFC 7519): HAProxy's manual, section 7.3.1. */
import {createHmac, createPublicKey, type KeyObject, timingSafeEqual, verify} from 'node:crypto';
import {type JsonStep, parseJsonPath} from '../../config/expression/json-path.ts';
import {isPssAlgorithm, jwtAlgorithm} from '../../config/expression/jwt-algorithm.ts';
import type {SampleCall} from '../../config/sample.ts';
import {errorMessage} from '../../core/errors.ts';
import {badCall, type ConverterBuilder, type SampleEnvironment, textArgument, textOrVariable} from './fetch.ts';
import {findJson, unescapeJson} from './json-search.ts';
import {boolValue, type Found, intValue, textValue, toText} from './value.ts';

/** As C prints with `%g`: six digits, an exponent of two at least. */
function shortNumber(value: number): string {
  const text = value.toPrecision(6);
  const [digits = '', exponent] = text.split('e');
  const short = digits.includes('.') ? digits.replace(/\.?0+$/, '') : digits;
  if (exponent !== undefined) return `${short}e${exponent.charAt(0)}${exponent.slice(1).padStart(2, '0')}`;
  return value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential(5).replace(/\.?0*e([+-])(\d)$/, 'e$10$2') : short;
}

type Query = (text: string) => Found | null;

/** @throws CodedError ERR_SAMPLE for a path or a type that there is not */
function query(call: SampleCall): Query {
  const path = pathOf(call);
  const type = textArgument(call, 1);
  if (type !== '' && type !== 'int') throw badCall(call, `the only type is int, not "${type}"`);
  return (text) => {
    const found = findJson(text, path);
    switch (found?.kind) {
      case 'number':
        return type === 'int' ? wholeNumber(found.text) : textValue(shortNumber(Number(found.text)));
      case 'string': {
        const bytes = unescapeJson(found.text);
        return bytes === null ? null : textValue(bytes);
      }
      case 'literal':
        return found.value === null ? null : boolValue(found.value);
      default:
        return null;
    }
  };
}

function pathOf(call: SampleCall): readonly JsonStep[] {
  const path = parseJsonPath(textArgument(call, 0));
  if (path === null) throw badCall(call, `"${textArgument(call, 0)}" is no path such as $.key[0]`);
  return path;
}

function wholeNumber(text: string): Found | null {
  const value = Number(/^-?\d+/.exec(text)?.[0] ?? '');
  return Number.isSafeInteger(value) ? intValue(value) : null;
}

const jsonQuery: ConverterBuilder = (call) => {
  const find = query(call);
  return (value) => find(toText(value));
};

/** Base64 of RFC 4648, section 5, without padding; null: it is not. */
function decode(text: string): Buffer | null {
  return /^[A-Za-z0-9_-]*$/.test(text) && text.length % 4 !== 1 ? Buffer.from(text, 'base64url') : null;
}

/** Looks into a part of a token without asking whether it is signed. */
function tokenQuery(part: 0 | 1): ConverterBuilder {
  return (call) => {
    const find: Query = textArgument(call, 0) === '' ? textValue : query(call);
    return (value) => {
      const text = toText(value).split('.', part + 1)[part];
      const decoded = text === undefined ? null : decode(text);
      return decoded === null ? null : find(decoded.toString('latin1'));
    };
  };
}

/** What `jwt_verify` yields. */
const outcome = {good: 1, bad: 0, unknownAlgorithm: -1, unmanagedAlgorithm: -2, invalidToken: -3, unknownKey: -5} as const;

/** Public keys that lines of the configuration name, by that name; a variable can name them too. */
const publicKeys = new WeakMap<SampleEnvironment, Map<string, KeyObject>>();

function keysOf(environment: SampleEnvironment): Map<string, KeyObject> {
  const keys = publicKeys.get(environment) ?? new Map<string, KeyObject>();
  publicKeys.set(environment, keys);
  return keys;
}

interface Signed {
  readonly algorithm: string;
  readonly key: string;
  readonly text: string;
  readonly signature: Buffer;
}

function isGoodHmac({algorithm, key, text, signature}: Signed): boolean {
  const wanted = createHmac(`sha${algorithm.slice(2)}`, Buffer.from(key, 'latin1'))
    .update(text, 'latin1')
    .digest();
  return wanted.length === signature.length && timingSafeEqual(wanted, signature);
}

function isGoodSignature({algorithm, text, signature}: Signed, key: KeyObject): boolean {
  const wanted = algorithm.startsWith('ES') ? 'ec' : 'rsa';
  if (key.asymmetricKeyType !== wanted) return false;
  return verify(`sha${algorithm.slice(2)}`, Buffer.from(text, 'latin1'), {key, dsaEncoding: 'ieee-p1363'}, signature);
}

function verifyToken(token: string, named: {algorithm: string; key: string}, keys: ReadonlyMap<string, KeyObject>): number {
  const algorithm = jwtAlgorithm(named.algorithm);
  if (algorithm === null) return outcome.unknownAlgorithm;
  const parts = token.split('.');
  const [header = '', payload = '', signed = ''] = parts;
  if (algorithm === 'none' && (parts.length === 2 || parts.length === 3)) return signed === '' ? outcome.good : outcome.bad;
  const signature = decode(signed);
  if (parts.length !== 3 || signature === null || signature.length === 0) return outcome.invalidToken;
  if (isPssAlgorithm(algorithm)) return outcome.unmanagedAlgorithm;
  const facts = {algorithm, key: named.key, text: `${header}.${payload}`, signature};
  if (algorithm.startsWith('HS')) return isGoodHmac(facts) ? outcome.good : outcome.bad;
  const key = keys.get(named.key);
  if (key === undefined) return outcome.unknownKey;
  // Two numbers of one length.
  if (algorithm.startsWith('ES') && signature.length % 2 === 1) return outcome.invalidToken;
  return isGoodSignature(facts, key) ? outcome.good : outcome.bad;
}

/** Its third argument is the absolute path of a public key, or absent: what the configuration has checked. */
const jwtVerify: ConverterBuilder = (call, environment) => {
  const [algorithmOf, keyOf] = [textOrVariable(textArgument(call, 0)), textOrVariable(textArgument(call, 1))];
  const path = call.args[2];
  const keys = keysOf(environment);
  if (path !== undefined) keys.set(textArgument(call, 1), readKey(call, path, environment));
  return (value, context) => {
    const [algorithm, key] = [algorithmOf(context), keyOf(context)];
    return algorithm === null || key === null ? null : intValue(verifyToken(toText(value), {algorithm, key}, keys));
  };
};

function readKey(call: SampleCall, path: string, {readFile}: SampleEnvironment): KeyObject {
  try {
    return createPublicKey(readFile(path));
  } catch (error) {
    throw badCall(call, `cannot read a public key from "${path}": ${errorMessage(error)}`);
  }
}

export const jsonConverters: Readonly<Record<string, ConverterBuilder>> = {
  json_query: jsonQuery,
  jwt_header_query: tokenQuery(0),
  jwt_payload_query: tokenQuery(1),
  jwt_verify: jwtVerify,
};
