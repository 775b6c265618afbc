/** The cookie by which a client comes back to its server (HAProxy's manual, `cookie`): read from the request, and set with the answer. */
import type {CookiePersistence, ServerConfig} from '../../config/proxy-value.ts';
import type {Header} from './message.ts';

/** What the request's cookie said. `flag` is the log's letter for it. */
export interface CookieFinding {
  readonly server: ServerConfig | null;
  readonly flag: 'N' | 'I' | 'V' | 'E' | 'O';
  /** When the client came first, as the cookie has it; null: it does not say. */
  readonly firstSeen: string | null;
}

const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const none: CookieFinding = {server: null, flag: 'N', firstSeen: null};

/** Seconds in steps of four, as five digits of base 64: HAProxy's form of dates in cookies. */
function encodeDate(nowMs: number): string {
  const steps = Math.floor((Math.floor(nowMs / 1000) + 3) / 4);
  let text = '';
  for (let shift = 24; shift >= 0; shift -= 6) text += digits[Math.floor(steps / 2 ** shift) % 64] ?? '';
  return text;
}

function decodeDateMs(text: string): number | null {
  if (!/^[A-Za-z0-9_-]{5}$/.test(text)) return null;
  let steps = 0;
  for (const digit of text) steps = steps * 64 + digits.indexOf(digit);
  return steps * 4000;
}

function isOlder(text: string | undefined, limitMs: number | null, nowMs: number): boolean {
  if (limitMs === null || text === undefined) return false;
  const atMs = decodeDateMs(text);
  return atMs === null || nowMs - atMs > limitMs;
}

/** The value of a cookie in the fields of a request; null: there is none. */
export function cookieValue(headers: readonly Header[], name: string): string | null {
  for (const [field, value] of headers) {
    if (field !== 'cookie' || !value.includes(name)) continue;
    for (const pair of value.split(';')) {
      const at = pair.indexOf('=');
      if (at !== -1 && pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim();
    }
  }
  return null;
}

/** Changes each cookie of that name: a new value, or null to take it out. */
function editCookie(headers: readonly Header[], name: string, edit: (value: string) => string | null): Header[] {
  const edited: Header[] = [];
  for (const header of headers) {
    if (header[0] !== 'cookie' || !header[1].includes(name)) {
      edited.push(header);
      continue;
    }
    const pairs: string[] = [];
    for (const pair of header[1].split(';')) {
      const at = pair.indexOf('=');
      const isIt = at !== -1 && pair.slice(0, at).trim() === name;
      const value = isIt ? edit(pair.slice(at + 1).trim()) : null;
      if (!isIt) pairs.push(pair.trim());
      else if (value !== null) pairs.push(`${name}=${value}`);
    }
    if (pairs.length > 0) edited.push(['cookie', pairs.join('; ')]);
  }
  return edited;
}

export function findCookie(cookie: CookiePersistence, servers: readonly ServerConfig[], headers: readonly Header[], nowMs: number): CookieFinding {
  const value = cookieValue(headers, cookie.name);
  if (value === null) return none;
  const separator = cookie.how === 'prefix' ? value.indexOf('~') : value.indexOf('|');
  if (cookie.how === 'prefix' && separator === -1) return none;
  const name = separator === -1 ? value : value.slice(0, separator);
  const server = servers.find((candidate) => candidate.cookie === name) ?? null;
  if (cookie.how === 'prefix') return {server, flag: server === null ? 'I' : 'V', firstSeen: null};
  const [lastSeen, firstSeen = null] = separator === -1 ? [] : value.slice(separator + 1).split('|');
  if (isOlder(lastSeen, cookie.maxIdleMs, nowMs)) return {server: null, flag: 'E', firstSeen};
  if (isOlder(firstSeen ?? undefined, cookie.maxLifeMs, nowMs)) return {server: null, flag: 'O', firstSeen};
  return {server, flag: server === null ? 'I' : 'V', firstSeen};
}

/** What the server sees of the cookie. */
export function requestForServer(cookie: CookiePersistence, headers: Header[]): Header[] {
  if (cookie.how === 'prefix') {
    return editCookie(headers, cookie.name, (value) => {
      const at = value.indexOf('~');
      return at === -1 ? value : value.slice(at + 1);
    });
  }
  return cookie.how === 'insert' && cookie.indirect ? editCookie(headers, cookie.name, () => null) : headers;
}

export interface Persisted {
  readonly headers: Header[];
  /** The log's letter: nothing, inserted, updated, provided by the server, rewritten, deleted. */
  readonly flag: 'N' | 'I' | 'U' | 'P' | 'R' | 'D';
}

function setCookieOf(cookie: CookiePersistence, header: Header): {readonly value: string; readonly rest: string} | null {
  if (header[0] !== 'set-cookie') return null;
  const match = /^\s*([^=;]+?)\s*=([^;]*)(.*)$/s.exec(header[1]);
  return match !== null && match[1] === cookie.name ? {value: (match[2] ?? '').trim(), rest: match[3] ?? ''} : null;
}

function newCookie(cookie: CookiePersistence, server: ServerConfig, dates: string): string {
  let text = `${cookie.name}=${server.cookie ?? ''}${dates}; path=/`;
  for (const domain of cookie.domains) text += `; domain=${domain}`;
  if (cookie.httpOnly) text += '; HttpOnly';
  if (cookie.secure) text += '; Secure';
  for (const attribute of cookie.attributes) text += `; ${attribute}`;
  return text;
}

function datesFor(cookie: CookiePersistence, finding: CookieFinding, nowMs: number): string {
  if (cookie.maxIdleMs === null && cookie.maxLifeMs === null) return '';
  const now = encodeDate(nowMs);
  const first = cookie.maxLifeMs === null ? '' : `|${finding.flag === 'V' ? (finding.firstSeen ?? now) : now}`;
  return `|${cookie.maxIdleMs === null ? '' : now}${first}`;
}

/** Makes the answer of `server` bring the client back to it. */
export function responseForClient(
  cookie: CookiePersistence,
  headers: Header[],
  found: {readonly finding: CookieFinding; readonly server: ServerConfig; readonly method: string; readonly nowMs: number},
): Persisted {
  const {finding, server, method, nowMs} = found;
  const own = headers.some((header) => setCookieOf(cookie, header) !== null);
  if (cookie.how !== 'insert') {
    if (!own || server.cookie === null) return {headers, flag: 'N'};
    const changed = headers.map((header): Header => {
      const set = setCookieOf(cookie, header);
      if (set === null) return header;
      return ['set-cookie', `${cookie.name}=${server.cookie ?? ''}${cookie.how === 'prefix' ? `~${set.value}` : ''}${set.rest}`];
    });
    return {headers: noCache(cookie, changed), flag: 'R'};
  }
  if (own && cookie.preserve) return {headers, flag: 'P'};
  const kept = own && cookie.indirect ? headers.filter((header) => setCookieOf(cookie, header) === null) : headers;
  const dates = datesFor(cookie, finding, nowMs);
  const isKnown = finding.server === server && dates === '';
  if (isKnown || server.cookie === null || (cookie.postOnly && method !== 'POST')) return {headers: kept, flag: own && cookie.indirect ? 'D' : 'N'};
  kept.push(['set-cookie', newCookie(cookie, server, dates)]);
  return {headers: noCache(cookie, kept), flag: finding.server === server ? 'U' : 'I'};
}

function noCache(cookie: CookiePersistence, headers: Header[]): Header[] {
  if (cookie.noCache) headers.push(['cache-control', 'private']);
  return headers;
}
