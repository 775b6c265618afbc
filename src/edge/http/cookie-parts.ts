/** The cookies of a `Cookie` line where HAProxy divides it: at commas too, as RFC 2109 had it, but not inside quotes. */

export interface CookiePart {
  /** Before it: `''` at the start of a line. */
  readonly delimiter: string;
  readonly text: string;
  readonly name: string;
  /** Null: there is no equal sign, or it is an attribute of the cookie before it (`$Path`). */
  readonly value: string | null;
}

const isDelimiter = (character: string): boolean => character === ';' || character === ',';

/** Quotes hide delimiters in values only. */
export function cookieParts(line: string): CookiePart[] {
  const parts: CookiePart[] = [];
  for (let at = 0, isFirst = true; at < line.length; isFirst = false) {
    const delimiter = isFirst ? '' : line.charAt(at++);
    const start = at;
    while (at < line.length && line.charAt(at) !== '=' && !isDelimiter(line.charAt(at))) at++;
    const name = line.slice(start, at).trim();
    if (line.charAt(at) !== '=') {
      parts.push({delimiter, text: line.slice(start, at), name, value: null});
      continue;
    }
    const equals = at;
    at = valueEnd(line, at + 1);
    const value = line.slice(equals + 1, at);
    const isAttribute = name.startsWith('$');
    const text = isAttribute ? line.slice(start, at) : `${line.slice(start, equals).trimEnd()}=${value.trimStart()}`;
    parts.push({delimiter, text, name, value: isAttribute ? null : value.trim()});
  }
  return parts;
}

function valueEnd(line: string, start: number): number {
  let quoted = false;
  let at = start;
  for (; at < line.length; at++) {
    const character = line.charAt(at);
    if (character === '\\' && quoted) at++;
    else if (character === '"') quoted = !quoted;
    else if (!quoted && isDelimiter(character)) break;
  }
  return Math.min(at, line.length);
}
