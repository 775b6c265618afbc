/** Where a head of HTTP/1 that is refused goes wrong: found out afterwards, so that reading good ones costs nothing for it. */

const token = /[!#$%&'*+\-.^_`|~0-9A-Za-z]/;
const control = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/;

/** @returns the first place from `from` to `end` whose character is not of the pattern; `end`: there is none */
function firstOther(text: string, from: number, end: number, pattern: RegExp): number {
  let at = from;
  while (at < end && pattern.test(text.charAt(at))) at++;
  return at;
}

/** Where the line that begins there ends, without its line end; null: that is not there yet. */
function lineEnd(text: string, from: number): number | null {
  const lf = text.indexOf('\n', from);
  if (lf < 0) return null;
  return text.charAt(lf - 1) === '\r' && lf > from ? lf - 1 : lf;
}

/** Null: the line is good. */
function placeInRequestLine(text: string, from: number, end: number): number | null {
  const afterMethod = firstOther(text, from, end, token);
  if (text.charAt(afterMethod) !== ' ' || afterMethod === from) return afterMethod;
  const afterTarget = firstOther(text, afterMethod + 1, end, /[\x21-\x7e]/);
  if (text.charAt(afterTarget) !== ' ' || afterTarget === afterMethod + 1) return afterTarget;
  return /^HTTP\/1\.[01]$/.test(text.slice(afterTarget + 1, end)) ? null : afterTarget + 1;
}

function placeInStatusLine(text: string, from: number, end: number): number | null {
  if (!/^HTTP\/1\.[01] /.test(text.slice(from, end))) return from;
  const afterCode = firstOther(text, from + 9, Math.min(end, from + 12), /\d/);
  return afterCode === from + 12 && (afterCode === end || text.charAt(afterCode) === ' ') ? null : afterCode;
}

/** What may be there only once, or says how long the body is. */
const singular = new Set(['host', 'content-length', 'transfer-encoding']);

/** Looks at fields, one after the other, whether they may stand there. */
class FieldPlaces {
  readonly #text: string;
  readonly #target: string;
  readonly #seen = new Set<string>();

  constructor(text: string, target: string) {
    this.#text = text;
    this.#target = target;
  }

  /** Null: the field is good. */
  of(from: number, end: number): number | null {
    const text = this.#text;
    const afterName = firstOther(text, from, end, token);
    if (text.charAt(afterName) !== ':' || afterName === from) return afterName;
    let value = afterName + 1;
    while (value < end && /[ \t]/.test(text.charAt(value))) value++;
    const name = text.slice(from, afterName).toLowerCase();
    if (this.#isWrong(name, text.slice(value, end).trim())) return value;
    for (let at = value; at < end; at++) {
      if (text.charAt(at) === '\r') return at + 1;
      if (control.test(text.charAt(at))) return at;
    }
    return null;
  }

  #isWrong(name: string, value: string): boolean {
    if (!singular.has(name)) return false;
    const isAgain = this.#seen.has(name);
    this.#seen.add(name);
    if (isAgain) return true;
    if (name === 'content-length') return !/^\d{1,15}$/.test(value);
    const authority = /^[A-Za-z]+:\/\/([^/?#]*)/.exec(this.#target)?.[1];
    return name === 'host' && authority !== undefined && authority.toLowerCase() !== value.toLowerCase();
  }
}

/** @returns the place in `bytes`; their length where each part of the head is good, but not what they say together */
export function errorPlace(bytes: Buffer, kind: 'request' | 'response'): number {
  const text = bytes.toString('latin1');
  let at = kind === 'request' && text.startsWith('\r\n') ? 2 : 0;
  // Answers that are not the last one stand before it.
  for (;;) {
    const {place, end, isInformational} = placeInHead(text, at, kind);
    if (place !== null || !isInformational) return Math.min(place ?? end, text.length);
    at = end;
  }
}

function placeInHead(text: string, from: number, kind: 'request' | 'response'): {place: number | null; end: number; isInformational: boolean} {
  const first = lineEnd(text, from) ?? text.length;
  const inLine = kind === 'request' ? placeInRequestLine(text, from, first) : placeInStatusLine(text, from, first);
  if (inLine !== null) return {place: inLine, end: text.length, isInformational: false};
  const fields = new FieldPlaces(text, kind === 'request' ? (text.slice(from, first).split(' ')[1] ?? '') : '');
  for (let at = from, end: number | null = first; ; ) {
    if (end === null) return {place: text.length, end: text.length, isInformational: false};
    if (text.charAt(end) === '\n') return {place: end, end, isInformational: false};
    if (end === at) return {place: null, end: end + 2, isInformational: kind === 'response' && text.charAt(from + 9) === '1'};
    const place = at === from ? null : fields.of(at, end);
    if (place !== null) return {place, end, isInformational: false};
    at = end + 2;
    end = lineEnd(text, at);
  }
}
