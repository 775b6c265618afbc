/**
 * Finds one value in a text of JSON (RFC 8259) by its path, without making objects of the rest. Of a key that is there twice the first one
 * counts, as in HAProxy, and what stands behind the value is not looked at.
 */
import type {JsonStep} from '../../config/expression/json-path.ts';

export type JsonValue =
  | {readonly kind: 'number' | 'string'; readonly text: string}
  | {readonly kind: 'literal'; readonly value: boolean | null}
  | {readonly kind: 'array' | 'object'};

const deepest = 20;
const blanks = /[ \t\r\n]*/y;
const string = /"((?:\\.|[^"\\\0])*)"/sy;
const number = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const literal = /true|false|null/y;

/** What stops the search: the text is not JSON. */
const malformed = -1;

function take(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

function pastBlanks(text: string, at: number): number {
  return at + (take(blanks, text, at)?.[0].length ?? 0);
}

/** @returns behind the value that begins there */
function skipValue(text: string, at: number, depth: number): number {
  const open = text.charAt(at);
  if (open !== '{' && open !== '[') {
    const scalar = take(string, text, at) ?? take(number, text, at) ?? take(literal, text, at);
    return scalar === null ? malformed : at + scalar[0].length;
  }
  return depth >= deepest ? malformed : walk(text, at, {depth, wanted: () => false}).end;
}

interface Walk {
  readonly depth: number;
  /** Whether this member is the one that is looked for; by its key, or by its place. */
  readonly wanted: (member: JsonStep) => boolean;
}

/** Goes through the members of an object or array. @returns where the wanted value begins, and where the walk ended */
function walk(text: string, from: number, {depth, wanted}: Walk): {found: number | null; end: number} {
  const isObject = text.charAt(from) === '{';
  const close = isObject ? '}' : ']';
  let at = pastBlanks(text, from + 1);
  if (text.charAt(at) === close) return {found: null, end: at + 1};
  for (let place = 0; ; place++) {
    let member: JsonStep = place;
    if (isObject) {
      const key = take(string, text, at);
      if (key === null) break;
      member = key[1] ?? '';
      at = pastBlanks(text, at + key[0].length);
      if (text.charAt(at) !== ':') break;
      at = pastBlanks(text, at + 1);
    }
    if (wanted(member)) return {found: at, end: at};
    at = skipValue(text, at, depth + 1);
    if (at === malformed) break;
    at = pastBlanks(text, at);
    if (text.charAt(at) === close) return {found: null, end: at + 1};
    if (text.charAt(at) !== ',') break;
    at = pastBlanks(text, at + 1);
  }
  return {found: null, end: malformed};
}

/** Null: there is nothing at that path, or the text in front of it is not JSON. */
export function findJson(text: string, path: readonly JsonStep[]): JsonValue | null {
  let at = pastBlanks(text, 0);
  for (const [depth, step] of path.entries()) {
    if (text.charAt(at) !== (typeof step === 'number' ? '[' : '{') || depth >= deepest) return null;
    const {found} = walk(text, at, {depth, wanted: (member) => member === step});
    if (found === null) return null;
    at = found;
  }
  return valueAt(text, at);
}

function valueAt(text: string, at: number): JsonValue | null {
  const open = text.charAt(at);
  if (open === '{' || open === '[') return {kind: open === '{' ? 'object' : 'array'};
  const quoted = take(string, text, at);
  if (quoted !== null) return {kind: 'string', text: quoted[1] ?? ''};
  const digits = take(number, text, at);
  if (digits !== null) return {kind: 'number', text: digits[0]};
  const word = take(literal, text, at)?.[0];
  return word === undefined ? null : {kind: 'literal', value: word === 'null' ? null : word === 'true'};
}

const escapes: Readonly<Record<string, string>> = {b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', '\\': '\\', '"': '"'};

const possible = /^(?:[^\\]|\\(?:u00[0-9A-Fa-f]{2}|[bfnrt\\"]))*$/s;

/** The inside of a JSON string as bytes. Null for an escape that stands for no single byte, or for nothing. */
export function unescapeJson(text: string): string | null {
  if (!possible.test(text)) return null;
  return text.replace(/\\(?:u00(..)|(.))/gs, (_, hex: string | undefined, letter: string | undefined) =>
    hex === undefined ? (escapes[letter ?? ''] ?? '') : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
