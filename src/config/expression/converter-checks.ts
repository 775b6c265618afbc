/** Checks of arguments that mean something of their own: paths in JSON, algorithms and keys of tokens, fields of packets, keys of hashes. */
import {createPublicKey, getHashes} from 'node:crypto';
import {dirname, resolve} from 'node:path';
import {errorCode, errorMessage} from '../../core/errors.ts';
import {ConfigError} from '../arguments.ts';
import type {Word} from '../lex.ts';
import type {Scope} from '../scope.ts';
import {didYouMean} from '../suggestion.ts';
import {parseJsonPath} from './json-path.ts';
import {isPssAlgorithm, jwtAlgorithm, jwtAlgorithms, needsPublicKey} from './jwt-algorithm.ts';
import {mqttFields, mqttPacketType} from './mqtt-fields.ts';
import {isVariableName} from './variable-name.ts';

interface Place {
  readonly scope: Pick<Scope, 'host' | 'paths'>;
  readonly word: Word;
}

type Check = (args: readonly string[], place: Place) => readonly string[];

/** By the name of the converter. Each yields the arguments, and what it found out about them behind. @throws ConfigError */
const checks: Readonly<Record<string, Check>> = {
  json_query: (args, place) => checkQuery('json_query', args, place),
  jwt_header_query: (args, place) => checkQuery('jwt_header_query', args, place),
  jwt_payload_query: (args, place) => checkQuery('jwt_payload_query', args, place),
  jwt_verify: checkVerify,
  mqtt_field_value: checkMqttField,
  hmac: checkHmac,
  secure_memcmp: checkComparison,
};

/** @returns the arguments of a converter, with the absolute path of a key behind those of `jwt_verify`. @throws ConfigError */
export function checkConverterArguments(name: string, args: readonly string[], place: Place): readonly string[] {
  return checks[name]?.(args, place) ?? args;
}

function checkQuery(name: string, args: readonly string[], {word}: Place): readonly string[] {
  const [path = '', type = ''] = args;
  if ((path !== '' || name === 'json_query') && parseJsonPath(path) === null) {
    throw new ConfigError(`'${name}': a path such as '$.key[0]' is expected, found '${path}'`, word.position, word.text);
  }
  if (type !== '' && type !== 'int') throw new ConfigError(`'${name}': the output type is int or nothing, found '${type}'`, word.position, word.text);
  return args;
}

function checkVerify(args: readonly string[], place: Place): readonly string[] {
  const [name = '', key = ''] = args;
  const {word} = place;
  if (isVariableName(name)) return isVariableName(key) ? args : withReadableKey(args, key, place);
  const algorithm = jwtAlgorithm(name);
  if (algorithm === null) {
    throw new ConfigError(`'jwt_verify': unknown algorithm '${name}'${didYouMean(name, jwtAlgorithms)}`, word.position, word.text);
  }
  if (isPssAlgorithm(algorithm)) throw new ConfigError(`'jwt_verify': '${name}' (RSASSA-PSS) cannot be checked, as in HAProxy 2.6`, word.position, word.text);
  if (!needsPublicKey(algorithm) || isVariableName(key)) return args;
  const read = readKey(key, place);
  if (!read.ok) throw new ConfigError(`'jwt_verify': cannot read a public key from '${key}': ${read.reason}`, word.position, word.text);
  return [...args, read.path];
}

/** The algorithm is known only with a token: the text may be a secret as well as the name of a file. */
function withReadableKey(args: readonly string[], key: string, place: Place): readonly string[] {
  const read = readKey(key, place);
  return read.ok ? [...args, read.path] : args;
}

function readKey(name: string, {scope, word}: Place): {ok: true; path: string} | {ok: false; reason: string} {
  const path = resolve(scope.paths.defaultPath ?? dirname(word.position.file), name);
  let text: string;
  try {
    text = scope.host.readText(path);
  } catch (error) {
    return {ok: false, reason: errorCode(error) === 'ENOENT' ? 'no such file or directory' : errorMessage(error)};
  }
  try {
    createPublicKey(text);
    return {ok: true, path};
  } catch {
    // Which of its parts is missing, OpenSSL does not say in words.
    return {ok: false, reason: 'it holds none in PEM'};
  }
}

function checkMqttField(args: readonly string[], {word}: Place): readonly string[] {
  const [name = '', field = ''] = args;
  const type = mqttPacketType(name);
  if (type === null) {
    throw new ConfigError(`'mqtt_field_value': CONNECT and CONNACK are what can be read, found '${name}'`, word.position, word.text);
  }
  if (!mqttFields[type].includes(field.toLowerCase())) {
    const possible = `a packet '${type}' has ${mqttFields[type].join(', ')}`;
    throw new ConfigError(`'mqtt_field_value': ${possible}, found '${field}'${didYouMean(field, mqttFields[type])}`, word.position, word.text);
  }
  return args;
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function checkHmac(args: readonly string[], {word}: Place): readonly string[] {
  const [name = '', key = ''] = args;
  const algorithms = getHashes();
  if (!algorithms.includes(name.toLowerCase())) {
    throw new ConfigError(`'hmac': unknown algorithm '${name}'${didYouMean(name, algorithms)}`, word.position, word.text);
  }
  // What it is, is not for everybody who reads messages.
  if (!isVariableName(key) && (key === '' || !base64.test(key))) {
    throw new ConfigError("'hmac': a key in base64 is expected, or a variable that has one", word.position, word.text);
  }
  return args;
}

function checkComparison(args: readonly string[], {word}: Place): readonly string[] {
  const [name = ''] = args;
  if (isVariableName(name)) return args;
  throw new ConfigError(`'secure_memcmp': a variable such as 'txn.name' is expected, found '${name}'`, word.position, word.text);
}
