/** What follows the name of an ACL, or stands between braces: an expression, flags, patterns. */
import {ConfigError} from '../arguments.ts';
import type {Word} from '../lex.ts';
import type {AclTest, MatchMethod} from '../sample.ts';
import {matchMethods} from '../sample.ts';
import type {Scope} from '../scope.ts';
import {didYouMean} from '../suggestion.ts';
import {testKeywords} from './fetches.ts';
import {parseIpPattern} from './ip-pattern.ts';
import {keyOf, readPatternFile} from './pattern-file.ts';
import {parseRegex} from './regex.ts';
import {type ReadExpression, readExpression} from './sample-expression.ts';
import type {SampleType} from './signatures.ts';

interface Flags {
  ignoreCase: boolean;
  method: MatchMethod | null;
  readonly files: string[];
  /** Patterns of files. */
  readonly patterns: Word[];
  mapsOnly: boolean;
  /** `--` was there: that there are no patterns is meant. */
  ended: boolean;
}

/**
 * Reads a test.
 * @param place of the whole test, for messages
 * @param warn told of what can never be true
 * @throws ConfigError
 */
export function readTest(words: readonly Word[], {scope, place, warn}: {scope: Scope; place: Word; warn: (word: Word, message: string) => void}): AclTest {
  const [first, ...rest] = words;
  if (first === undefined) throw new ConfigError('missing fetch method in an ACL expression', place.position, place.text);
  let alias: MatchMethod | undefined;
  const read = readExpression(0, {scope, word: first}, (name) => {
    const keyword = testKeywords.get(name);
    alias = keyword?.method;
    return keyword?.fetch;
  });
  if (read.end < first.text.length) throw new ConfigError(`unexpected '${first.text.slice(read.end)}' in '${first.text}'`, first.position, first.text);
  const {flags, patterns: written} = readFlags(rest, scope);
  const given = [...flags.patterns, ...written];
  const method = flags.method ?? alias ?? defaultMethod(read, first, given.length > 0);
  const patterns = checkPatterns(given, method, {read, ignoreCase: flags.ignoreCase});
  const needsPatterns = method !== 'found' && method !== 'bool';
  if (needsPatterns && patterns.length === 0 && flags.files.length === 0 && !flags.ended) {
    warn(first, `'${first.text}' has no pattern to match against and will never match; '-m found' tests for existence, '--' says that this is meant`);
  }
  return {expression: read.expression, method, ignoreCase: flags.ignoreCase, patterns, files: flags.files, position: first.position};
}

function readFlags(words: readonly Word[], scope: Scope): {readonly flags: Flags; readonly patterns: readonly Word[]} {
  const flags: Flags = {ignoreCase: false, method: null, files: [], patterns: [], mapsOnly: false, ended: false};
  const files: Word[] = [];
  let at = 0;
  const value = (flag: Word): Word => {
    const word = words[++at];
    if (word === undefined) throw new ConfigError(`missing argument for the ACL flag '${flag.text}'`, flag.position, flag.text);
    return word;
  };
  for (; at < words.length; at++) {
    const word = words[at];
    if (word === undefined || !word.text.startsWith('-') || word.text === '-') break;
    if (word.text === '--') {
      flags.ended = true;
      at++;
      break;
    }
    readFlag(word, flags, {value, files});
  }
  for (const word of files) {
    const {path, lines} = readPatternFile(word.text, word, scope);
    flags.files.push(path);
    flags.patterns.push(...lines.map((line) => ({text: flags.mapsOnly ? keyOf(line) : line, position: word.position})));
  }
  return {flags, patterns: words.slice(at)};
}

function readFlag(word: Word, flags: Flags, {value, files}: {value: (flag: Word) => Word; files: Word[]}): void {
  switch (word.text) {
    case '-i':
      flags.ignoreCase = true;
      return;
    case '-n':
      return; // Patterns are never names of hosts here.
    case '-M':
      flags.mapsOnly = true;
      return;
    case '-u':
      value(word); // The number of an ACL for HAProxy's runtime commands: files and names serve here.
      return;
    case '-f':
      files.push(value(word));
      return;
    case '-m': {
      const method = value(word);
      const found = matchMethods.find((known) => known === method.text);
      if (found === undefined)
        throw new ConfigError(`unknown matching method '${method.text}'${didYouMean(method.text, matchMethods)}`, method.position, method.text);
      flags.method = found;
      return;
    }
    default:
      // Case is often the only error, and `-1` is a pattern of some.
      throw new ConfigError(`'${word.text}' is not a valid ACL flag; use '--' before any pattern beginning with a '-'`, word.position, word.text);
  }
}

function defaultMethod({type, expression}: ReadExpression, word: Word, hasPatterns: boolean): MatchMethod {
  const byType: Readonly<Record<SampleType, MatchMethod | null>> = {
    bool: hasPatterns ? 'int' : 'bool',
    int: 'int',
    ip: 'ip',
    str: 'str',
    method: 'str',
    bin: null,
    any: null,
  };
  const method = byType[type];
  if (method !== null) return method;
  throw new ConfigError(
    `a matching method must be specified first (using '-m') when using a sample fetch of this type ('${expression.fetch.name}')`,
    word.position,
    word.text,
  );
}

function checkPatterns(words: readonly Word[], method: MatchMethod, {read, ignoreCase}: {read: ReadExpression; ignoreCase: boolean}): readonly string[] {
  switch (method) {
    case 'int':
    case 'len':
      return integerPatterns(words, read.type === 'bool');
    case 'ip':
      return words.map((word) => {
        const pattern = parseIpPattern(word.text);
        if (pattern === null) throw new ConfigError(`'${word.text}' is not a valid IPv4 or IPv6 address`, word.position, word.text);
        return pattern;
      });
    case 'bin':
      for (const word of words) {
        if (!/^(?:[0-9A-Fa-f]{2})*$/.test(word.text))
          throw new ConfigError(`pairs of hexadecimal digits are expected, found '${word.text}'`, word.position, word.text);
      }
      break;
    case 'reg':
      for (const word of words) {
        const parsed = parseRegex(word.text, {ignoreCase});
        if (!parsed.ok) throw new ConfigError(parsed.reason, word.position, word.text);
      }
      break;
    default:
      break;
  }
  return words.map(({text}) => text);
}

const operators = new Set(['eq', 'ge', 'gt', 'le', 'lt']);

/** An operator holds for all numbers behind it. */
function integerPatterns(words: readonly Word[], fromBool: boolean): readonly string[] {
  const patterns: string[] = [];
  let operator = '';
  for (const word of words) {
    const {text, position} = word;
    if (operators.has(text)) {
      operator = text;
      continue;
    }
    const number = fromBool ? (({true: '1', on: '1', yes: '1', false: '0', off: '0', no: '0'} as Readonly<Record<string, string>>)[text] ?? text) : text;
    if (!/^-?\d{1,15}(?:[.]\d{1,9})?(?::(?:-?\d{1,15}(?:[.]\d{1,9})?)?)?$|^:-?\d{1,15}$/.test(number))
      throw new ConfigError(`'${text}' is not a number`, position, text);
    const [low = '', high] = number.split(':');
    if (high !== undefined && low !== '' && high !== '' && Number(high) < Number(low))
      throw new ConfigError(`'${text}' is not a valid number range`, position, text);
    patterns.push(operator === '' || operator === 'eq' ? number : `${operator} ${number}`);
  }
  const last = words.at(-1);
  if (last !== undefined && operators.has(last.text)) throw new ConfigError(`a number is expected after '${last.text}'`, last.position, last.text);
  return patterns;
}
