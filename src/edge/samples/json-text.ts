/** The converter `json`: a text as the inside of a JSON string in ASCII. HAProxy's manual, section 7.3.1. */

const short: Readonly<Record<number, string>> = {8: '\\b', 9: '\\t', 10: '\\n', 12: '\\f', 13: '\\r', 34: '\\"', 47: '\\/', 92: '\\\\'};

function escapeCode(code: number): string {
  const known = short[code];
  if (known !== undefined) return known;
  return code >= 32 && code < 127 ? String.fromCharCode(code) : `\\u${code.toString(16).padStart(4, '0')}`;
}

interface Decoded {
  readonly code: number;
  readonly bytes: number;
  readonly fault: 'none' | 'overlong' | 'bad';
}

/** One character of UTF-8 (RFC 3629) that is four bytes at most. */
function decode(text: string, at: number): Decoded {
  const first = text.charCodeAt(at);
  if (first < 0x80) return {code: first, bytes: 1, fault: 'none'};
  const extra = first >= 0xf8 ? 0 : first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
  if (extra === 0) return {code: 0, bytes: 1, fault: 'bad'};
  let code = first & (0x3f >> extra);
  for (let next = 1; next <= extra; next++) {
    const byte = text.charCodeAt(at + next);
    if ((byte & 0xc0) !== 0x80) return {code: 0, bytes: next, fault: 'bad'};
    code = code * 64 + (byte & 0x3f);
  }
  const least = extra === 1 ? 0x80 : extra === 2 ? 0x800 : 0x10000;
  const forbidden = (code >= 0xd800 && code <= 0xdfff) || code === 0xfffe || code === 0xffff;
  return {code, bytes: extra + 1, fault: forbidden ? 'bad' : code < least ? 'overlong' : 'none'};
}

/** Null: there is no such decoder. The converter yields null for a text with faults that its decoder does not forgive. */
export function jsonText(decoder: string): ((text: string) => string | null) | null {
  if (decoder === 'ascii') return (text) => text.replace(/[^ !#-.0-[\]-~]/g, (character) => escapeCode(character.charCodeAt(0)));
  if (!/^utf8p?s?$/.test(decoder)) return null;
  const [permissive, silent] = [decoder.includes('p'), decoder.endsWith('s')];
  return (text) => {
    let out = '';
    for (let at = 0; at < text.length; ) {
      const {code, bytes, fault} = decode(text, at);
      at += bytes;
      // Four digits are all that one escape has.
      const wrong = code > 0xffff || fault === 'bad' || (fault === 'overlong' && !permissive);
      if (wrong && !silent) return null;
      if (!wrong) out += escapeCode(code);
    }
    return out;
  };
}
