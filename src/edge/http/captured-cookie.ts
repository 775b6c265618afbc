/** `capture cookie`: what log lines show of a cookie. */
import type {CookieCapture} from '../../config/proxy-value.ts';
import type {Header} from './message.ts';

function withoutBlanks(cookie: string): string {
  return cookie.trim().replace(/[ \t]*=[ \t]*/, '=');
}

/** `name=value` of the first one that begins as wanted; those without a value do not count. */
export function capturedCookie({prefix, length}: CookieCapture, headers: readonly Header[], field: 'cookie' | 'set-cookie'): string | null {
  for (const [name, value] of headers) {
    if (name !== field) continue;
    const cookies = field === 'cookie' ? value.split(/[;,]/) : [value.replace(/;.*$/s, '')];
    const found = cookies.map(withoutBlanks).find((cookie) => cookie.startsWith(prefix) && cookie.includes('='));
    if (found !== undefined) return found.slice(0, length);
  }
  return null;
}
