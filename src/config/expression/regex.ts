/**
 * Regular expressions as operators write them for HAProxy (PCRE), run by JavaScript's engine. What both understand is passed on; what only
 * differs in spelling or in detail is rewritten; what JavaScript has no word for is refused when the configuration is loaded. Subjects are
 * strings of bytes.
 *
 * Case is ignored by naming both letters, and not by JavaScript's flag: that would fold bytes above 127, too, and V8's engine without
 * backtracking, to which it changes when a subject would take for ever (bin/picogate), does not know the flag.
 */
import {CodedError, errorMessage} from '../../core/errors.ts';
import {type Parsed, refused} from '../units.ts';

const posixClasses: Readonly<Record<string, string>> = {
  alpha: 'A-Za-z',
  digit: '0-9',
  alnum: 'A-Za-z0-9',
  upper: 'A-Z',
  lower: 'a-z',
  space: '\\t-\\r ',
  blank: '\\t ',
  punct: '!-\\/:-@\\[-`{-~',
  print: ' -~',
  graph: '!-~',
  cntrl: '\\0-\\x1f\\x7f',
  xdigit: '0-9A-Fa-f',
  word: '\\w',
};

const letters = Array.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz');

/** Escapes of PCRE that JavaScript takes for a letter or reads otherwise: outside of a class, and inside. */
const escapes: Readonly<Record<string, readonly [outside: string, inside: string | null]>> = {
  s: ['[\\t-\\r ]', '\\t-\\r '],
  S: ['[^\\t-\\r ]', '\\0-\\x08\\x0e-\\x1f!-\\xff'],
  h: ['[\\t \\xa0]', '\\t \\xa0'],
  H: ['[^\\t \\xa0]', null],
  v: ['[\\n-\\r\\x85]', '\\n-\\r\\x85'],
  V: ['[^\\n-\\r\\x85]', null],
  R: ['(?:\\r\\n|[\\n-\\r\\x85])', null],
  N: ['[^\\n]', null],
  A: ['(?<![\\s\\S])', null],
  z: ['(?![\\s\\S])', null],
  Z: ['(?=\\n?(?![\\s\\S]))', null],
  a: ['\\x07', '\\x07'],
  e: ['\\x1b', '\\x1b'],
};

const refusedEscapes: Readonly<Record<string, string>> = {
  K: '\\K has no counterpart',
  G: '\\G has no counterpart',
  C: '\\C has no counterpart',
  X: '\\X has no counterpart',
  p: 'properties of Unicode do not apply to bytes',
  P: 'properties of Unicode do not apply to bytes',
};

/** A group that is open. */
interface Group {
  /** The option groups inside of it that it has to close, as they were opened. */
  readonly opened: string[];
  /** A dot is any byte. */
  dotAll: boolean;
  ignoreCase: boolean;
}

/** In the text of a configuration. */
export function parseRegex(text: string, {ignoreCase}: {readonly ignoreCase: boolean}): Parsed<RegExp> {
  try {
    return {ok: true, value: create(text, ignoreCase ? 'i' : '')};
  } catch (error) {
    return refused(`regex '${text}' is invalid (${reasonOf(error)})`);
  }
}

/**
 * @param flags of JavaScript: `i`, `g`
 * @throws CodedError ERR_REGEX naming the pattern and what is wrong with it
 */
export function compileRegex(pattern: string, flags = ''): RegExp {
  try {
    return create(pattern, flags);
  } catch (error) {
    throw new CodedError('ERR_REGEX', `Cannot compile regular expression "${pattern}": ${reasonOf(error)}`, {source: 'host', cause: error});
  }
}

function create(pattern: string, flags: string): RegExp {
  const ignoreCase = flags.includes('i');
  return new RegExp(translate(Buffer.from(pattern).toString('latin1'), ignoreCase), flags.replace('i', ''));
}

function reasonOf(error: unknown): string {
  return errorMessage(error).replace(/^Invalid regular expression: .*: /s, '');
}

/** One pass over a pattern; each method reads one construct and returns what it is in JavaScript. */
function translate(pattern: string, ignoreCase: boolean): string {
  const outermost: Group = {opened: [], dotAll: false, ignoreCase};
  const groups: Group[] = [outermost];
  let out = '';
  let at = 0;
  while (at < pattern.length) {
    const group = groups.at(-1) ?? outermost;
    const [text, next] = readConstruct(pattern, at, group, groups);
    out += text;
    at = next;
  }
  return out + closing(outermost);
}

function closing(group: Group): string {
  return ')'.repeat(group.opened.length);
}

type Construct = readonly [text: string, next: number];

function readConstruct(pattern: string, at: number, group: Group, groups: Group[]): Construct {
  switch (pattern.charAt(at)) {
    case '\\':
      return readEscape(pattern, at, group);
    case '[':
      return readClass(pattern, at, group);
    case '(':
      return readGroup(pattern, at, group, groups);
    case ')':
      if (groups.length > 1) groups.pop();
      return [`${closing(group)})`, at + 1];
    case '.':
      return [group.dotAll ? '[\\s\\S]' : '[^\\n]', at + 1];
    case '|':
      // Options that were set in one branch hold in the next ones.
      return [`${closing(group)}|${group.opened.join('')}`, at + 1];
    case '+':
      if (at > 0 && /[*+?}]/.test(pattern.charAt(at - 1)) && pattern.charAt(at - 2) !== '\\') {
        throw new SyntaxError('possessive quantifiers have no counterpart');
      }
      return ['+', at + 1];
    default:
      return [literal(pattern.charAt(at), group), at + 1];
  }
}

/** A character that stands for itself, or that means something to both. */
function literal(character: string, {ignoreCase}: Group): string {
  return ignoreCase && isLetter(character) ? `[${character}${otherCase(character)}]` : character;
}

function isLetter(character: string): boolean {
  return /^[A-Za-z]$/.test(character);
}

function otherCase(letter: string): string {
  const lower = letter.toLowerCase();
  return letter === lower ? letter.toUpperCase() : lower;
}

function readEscape(pattern: string, at: number, group: Group): Construct {
  const letter = pattern.charAt(at + 1);
  if (letter === 'Q') {
    const end = pattern.indexOf('\\E', at + 2);
    const quoted = pattern.slice(at + 2, end < 0 ? undefined : end);
    const text = quoted.replace(/[\\^$.*+?()[\]{}|/]|[A-Za-z]/g, (character) => (isLetter(character) ? literal(character, group) : `\\${character}`));
    return [text, end < 0 ? pattern.length : end + 2];
  }
  if (letter === 'E') return ['', at + 2];
  if (letter === 'x') return readHex(pattern, at, group);
  const reason = refusedEscapes[letter];
  if (reason !== undefined) throw new SyntaxError(reason);
  if (/[1-9gk]/.test(letter)) return readBackReference(pattern, at, group);
  return [escapes[letter]?.[0] ?? `\\${letter}`, at + 2];
}

/** `\1`, `\g1`, `\g{1}`, `\k<name>`, `\k{name}`, `\k'name'`. */
function readBackReference(pattern: string, at: number, group: Group): Construct {
  const found = /^\\(?:([1-9]\d*)|g(?:\{(\d+)\}|(\d+))|k(?:<(\w+)>|\{(\w+)\}|'(\w+)'))/.exec(pattern.slice(at, at + 80));
  if (found === null) throw new SyntaxError(`"${pattern.slice(at, at + 3)}" has no counterpart`);
  const [whole, plain, braced, bare, ...names] = found;
  const number = plain ?? braced ?? bare;
  const reference = number === undefined ? `\\k<${names.join('')}>` : `\\${number}`;
  return [sameText(reference, group), at + whole.length];
}

/** What a group has matched, again. */
function sameText(reference: string, {ignoreCase}: Group): string {
  return ignoreCase ? `(?i:${reference})` : reference;
}

/** `\x{41}`, `\x4`, `\x41`. */
function readHex(pattern: string, at: number, group?: Group): Construct {
  const found = /^\\x(?:\{([0-9A-Fa-f]+)\}|([0-9A-Fa-f]{0,2}))/.exec(pattern.slice(at, at + 12));
  const code = Number.parseInt(found?.[1] ?? (found?.[2] || '0'), 16);
  if (code > 255) throw new SyntaxError('a character above 255 does not occur in bytes');
  const character = String.fromCharCode(code);
  const text = group !== undefined && isLetter(character) ? literal(character, group) : `\\x${code.toString(16).padStart(2, '0')}`;
  return [text, at + (found?.[0].length ?? 2)];
}

function readClass(pattern: string, at: number, {ignoreCase}: Group): Construct {
  const [opening, start] = pattern.charAt(at + 1) === '^' ? ['[^', at + 2] : ['[', at + 1];
  let out = '';
  let next = start;
  // First of all, a closing bracket is one of the characters.
  if (pattern.charAt(next) === ']') {
    out += '\\]';
    next++;
  }
  while (next < pattern.length && pattern.charAt(next) !== ']') {
    const posix = /^\[:(\^?)([a-z]+):\]/.exec(pattern.slice(next, next + 14));
    if (posix !== null) {
      const members = posixClasses[posix[2] ?? ''];
      if (members === undefined || posix[1] === '^') throw new SyntaxError(`character class "${posix[0]}" is not known`);
      out += members;
      next += posix[0].length;
    } else if (pattern.charAt(next) === '\\') {
      const [text, after] = readClassEscape(pattern, next);
      out += text;
      next = after;
    } else {
      out += pattern.charAt(next) === '[' ? '\\[' : pattern.charAt(next);
      next++;
    }
  }
  if (next >= pattern.length) throw new SyntaxError('Unterminated character class');
  return [`${opening}${ignoreCase ? withOtherCase(out) : out}]`, next + 1];
}

/** The members of a class, with the other case of each letter among them. */
function withOtherCase(members: string): string {
  const isMember = new RegExp(`[${members}]`);
  const missing = letters.filter((letter) => !isMember.test(letter) && isMember.test(otherCase(letter)));
  return missing.join('') + (missing.length > 0 ? members.replace(/^-/, '\\-') : members);
}

function readClassEscape(pattern: string, at: number): Construct {
  const letter = pattern.charAt(at + 1);
  if (letter === 'x') return readHex(pattern, at);
  if (letter === 'p' || letter === 'P') throw new SyntaxError(refusedEscapes['p']);
  const known = escapes[letter];
  if (known === undefined) return [`\\${letter}`, at + 2];
  if (known[1] === null) throw new SyntaxError(`\\${letter} in a character class has no counterpart`);
  return [known[1], at + 2];
}

function readGroup(pattern: string, at: number, group: Group, groups: Group[]): Construct {
  const rest = pattern.slice(at, at + 80);
  if (rest.startsWith('(?#')) {
    const end = pattern.indexOf(')', at);
    return ['', end < 0 ? pattern.length : end + 1];
  }
  const backReference = /^\(\?P=(\w+)\)/.exec(rest);
  if (backReference !== null) return [sameText(`\\k<${backReference[1] ?? ''}>`, group), at + backReference[0].length];
  const options = /^\(\?([a-zA-Z]*)(?:-([a-zA-Z]+))?([:)])/.exec(rest);
  if (options !== null) return readOptions(options, at, group, groups);
  const named = /^\(\?P?<(?![=!])/.exec(rest) ?? /^\(\?'/.exec(rest);
  const opening = /^\((?:\?(?:[=!]|<[=!]))?/.exec(rest)?.[0] ?? '(';
  if (named === null && opening === '(' && (rest.startsWith('(?') || rest.startsWith('(*'))) {
    throw new SyntaxError(`"${rest.slice(0, 3)}" has no counterpart`);
  }
  groups.push({opened: [], dotAll: group.dotAll, ignoreCase: group.ignoreCase});
  if (named === null) return [opening, at + opening.length];
  if (named[0] !== "(?'") return ['(?<', at + named[0].length];
  const end = pattern.indexOf("'", at + 3);
  return [`(?<${pattern.slice(at + 3, end < 0 ? undefined : end)}>`, end < 0 ? pattern.length : end + 1];
}

/** `(?i)` holds to the end of its group, `(?i:...)` for what it encloses. */
function readOptions(options: RegExpExecArray, at: number, group: Group, groups: Group[]): Construct {
  const [whole, on = '', off = '', end = ''] = options;
  const unknown = /[^ims]/.exec(on + off);
  if (unknown !== null) throw new SyntaxError(`option "${unknown[0]}" in "${whole}" has no counterpart`);
  const holds = (option: string, before: boolean): boolean => on.includes(option) || (before && !off.includes(option));
  const dotAll = holds('s', group.dotAll);
  const ignoreCase = holds('i', group.ignoreCase);
  const opening = on.includes('m') ? '(?m:' : off.includes('m') ? '(?-m:' : '(?:';
  if (end === ':') groups.push({opened: [], dotAll, ignoreCase});
  else {
    group.dotAll = dotAll;
    group.ignoreCase = ignoreCase;
    group.opened.push(opening);
  }
  return [opening, at + whole.length];
}
