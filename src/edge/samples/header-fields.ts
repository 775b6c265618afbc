/** Header fields as lists of values: RFC 9110, sections 5.1 and 5.6.1, as HAProxy counts occurrences. */
import type {HeaderFields} from './context.ts';

/** How far back a negative occurrence may count: HAProxy's MAX_HDR_HISTORY. */
export const maxHistory = 10;

/**
 * The values of a header in order.
 * @param name in lower case; `''`: those of all headers
 * @param split at commas that are not inside quotes, as lists are; else one per line
 */
export function headerValues(fields: HeaderFields, name: string, split: boolean): string[] {
  const values: string[] = [];
  for (const [fieldName, value] of fields) {
    if (name !== '' && !sameName(fieldName, name)) continue;
    if (split && value.includes(',')) splitOutsideQuotes(value, ',', values);
    else values.push(trimBlanks(value));
  }
  return values;
}

/** The last value, or the one of an occurrence: 1 is the first, -1 the last. Null: there is none. */
export function headerValue(fields: HeaderFields, name: string, split: boolean, occurrence: number): string | null {
  if (name !== '' && occurrence === -1) return lastValue(fields, name, split);
  const values = headerValues(fields, name, split);
  return values[occurrence > 0 ? occurrence - 1 : values.length + occurrence] ?? null;
}

/** Nearly always what is asked for, so it looks at no more than it must. */
function lastValue(fields: HeaderFields, name: string, split: boolean): string | null {
  for (let index = fields.length - 1; index >= 0; index--) {
    const field = fields[index];
    if (field === undefined || !sameName(field[0], name)) continue;
    return split && field[1].includes(',') ? (splitOutsideQuotes(field[1], ',', []).at(-1) ?? null) : trimBlanks(field[1]);
  }
  return null;
}

/** @param lower in lower case */
export function sameName(name: string, lower: string): boolean {
  return name.length === lower.length && (name === lower || name.toLowerCase() === lower);
}

/** Appends the parts of a line between delimiters that are not inside quotes (RFC 9110, section 5.6.4). By hand: no line makes it slow. */
function splitOutsideQuotes(line: string, delimiters: string, parts: string[]): string[] {
  let start = 0;
  let quoted = false;
  for (let at = 0; at < line.length; at++) {
    const character = line.charAt(at);
    if (character === '\\' && quoted) at++;
    else if (character === '"') quoted = !quoted;
    else if (!quoted && delimiters.includes(character)) {
      parts.push(trimBlanks(line.slice(start, at)));
      start = at + 1;
    }
  }
  parts.push(trimBlanks(line.slice(start)));
  return parts;
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9 || code === 10 || code === 13;
}

function trimBlanks(value: string): string {
  let [start, end] = [0, value.length];
  while (start < end && isBlank(value.charCodeAt(start))) start++;
  while (end > start && isBlank(value.charCodeAt(end - 1))) end--;
  return end - start === value.length ? value : value.slice(start, end);
}

/**
 * The values of a cookie in `Cookie` lines, or in the first pair of `Set-Cookie` lines.
 * @param name with regard to case; `''`: of all cookies
 */
export function cookieValues(fields: HeaderFields, header: 'cookie' | 'set-cookie', name: string): string[] {
  const values: string[] = [];
  for (const [fieldName, line] of fields) {
    if (!sameName(fieldName, header)) continue;
    for (const pair of splitOutsideQuotes(line, ';,', [])) {
      const equals = pair.indexOf('=');
      if (equals < 0) continue;
      const found = trimBlanks(pair.slice(0, equals));
      if (name === '' || found === name) values.push(trimBlanks(pair.slice(equals + 1)));
      if (header === 'set-cookie') break;
    }
  }
  return values;
}
