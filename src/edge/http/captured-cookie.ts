/** `capture cookie`: what log lines show of a cookie. */
import type {CookieCapture} from '../../config/proxy-value.ts';
import {cookieParts} from './cookie-parts.ts';
import type {Header} from './message.ts';

/** `name=value` of the first one that begins as wanted; those without a value do not count. */
export function capturedCookie({prefix, length}: CookieCapture, headers: readonly Header[], field: 'cookie' | 'set-cookie'): string | null {
  for (const [name, value] of headers) {
    if (name !== field) continue;
    const parts = cookieParts(value);
    const cookies = (field === 'cookie' ? parts : parts.slice(0, 1)).filter((part) => part.value !== null).map(({text}) => text.trim());
    const found = cookies.find((cookie) => cookie.startsWith(prefix));
    if (found !== undefined) return found.slice(0, length);
  }
  return null;
}
