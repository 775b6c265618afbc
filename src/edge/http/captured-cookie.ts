/** `capture cookie`: what log lines show of a cookie. */
import type {CookieCapture} from '../../config/proxy-value.ts';
import type {Header} from './message.ts';

/** Null for one without a value, which does not count. */
function withoutBlanks(cookie: string): string | null {
  const at = cookie.indexOf('=');
  return at < 0 ? null : `${cookie.slice(0, at).trim()}=${cookie.slice(at + 1).trim()}`;
}

/** `name=value` of the first one that begins as wanted. */
export function capturedCookie({prefix, length}: CookieCapture, headers: readonly Header[], field: 'cookie' | 'set-cookie'): string | null {
  for (const [name, value] of headers) {
    if (name !== field) continue;
    const cookies = field === 'cookie' ? value.split(/[;,]/) : [value.replace(/;.*$/s, '')];
    const found = cookies.map(withoutBlanks).find((cookie) => cookie?.startsWith(prefix) === true);
    if (found !== undefined && found !== null) return found.slice(0, length);
  }
  return null;
}
