/** The cookie by which a client comes back to its server (HAProxy's manual, `cookie`): read from the request, and set with the answer. */
import type {CookiePersistence, ServerConfig} from '../../config/proxy-value.ts';
import type {BackendServers} from './assignment.ts';
import {type CookiePart, cookieParts} from './cookie-parts.ts';
import type {Header} from './message.ts';

/** What the request's cookies said. `flag` is the log's letter for it: of the cookies, or of none, the first one whose server can be used counts. */
export interface CookieFinding {
  readonly server: ServerConfig | null;
  readonly flag: 'N' | 'I' | 'D' | 'V' | 'E' | 'O';
  /** When the client came last and first, as the cookie has it; null: it does not say. */
  readonly lastSeenMs: number | null;
  readonly firstSeenMs: number | null;
}

const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const dayMs = 86_400_000;

/** Seconds in steps of four, as five digits of base 64: HAProxy's form of dates in cookies. */
function encodeDate(nowMs: number): string {
  const steps = Math.floor((Math.floor(nowMs / 1000) + 3) / 4);
  let text = '';
  for (let shift = 24; shift >= 0; shift -= 6) text += digits[Math.floor(steps / 2 ** shift) % 64] ?? '';
  return text;
}

/** Of the first five characters; null: they are no date. */
function decodeDateMs(text: string): number | null {
  if (!/^[A-Za-z0-9+/]{5}/.test(text)) return null;
  let steps = 0;
  for (const digit of text.slice(0, 5)) steps = steps * 64 + digits.indexOf(digit);
  return steps === 0 ? null : steps * 4000;
}

/** One of the future is too old as well, but for clocks that are a little wrong. */
function isTooOld(atMs: number | null, limitMs: number | null, nowMs: number): boolean {
  return atMs !== null && limitMs !== null && (nowMs - atMs > limitMs || atMs - nowMs > dayMs);
}

/** Rewrites the lines with a cookie of that name. */
function editLines(headers: readonly Header[], name: string, edit: (parts: readonly CookiePart[]) => string): Header[] {
  const edited: Header[] = [];
  for (const header of headers) {
    const [field, line] = header;
    const parts = field === 'cookie' && line.includes(name) ? cookieParts(line) : [];
    if (!parts.some((part) => part.value !== null && part.name === name)) {
      edited.push(header);
      continue;
    }
    const changed = edit(parts).trim();
    if (changed !== '') edited.push(['cookie', changed]);
  }
  return edited;
}

/** With the attributes that follow it. A line with nothing else is `''`. */
function withoutCookie(parts: readonly CookiePart[], name: string): string {
  let line = '';
  let isRemoving = false;
  let isNeeded = false;
  for (const {delimiter, text, name: partName, value} of parts) {
    if (value !== null && partName === name) {
      isRemoving = true;
      continue;
    }
    if (partName.startsWith('$')) {
      if (!isRemoving) line += `${delimiter}${text}`;
      continue;
    }
    isNeeded = true;
    if (!isRemoving) line += `${delimiter}${text}`;
    else if (line === '') line = text.trimStart();
    else line = `${line.trimEnd()}${delimiter} ${text.trimStart()}`;
    isRemoving = false;
  }
  return isNeeded ? line : '';
}

const withoutPrefix = ({delimiter, text, value}: CookiePart): string => {
  const at = value === null ? -1 : text.indexOf('~', text.indexOf('='));
  return at === -1 ? `${delimiter}${text}` : `${delimiter}${text.slice(0, text.indexOf('=') + 1)}${text.slice(at + 1)}`;
};

/** Of all cookies of that name, also on several lines. */
function* cookieValues(headers: readonly Header[], name: string): Generator<string> {
  for (const [field, line] of headers) {
    if (field !== 'cookie' || !line.includes(name)) continue;
    for (const part of cookieParts(line)) if (part.value !== null && part.name === name) yield part.value;
  }
}

/** @param isUp whether a server can be used, which it can while it drains */
export function findCookie(
  cookie: CookiePersistence,
  servers: BackendServers,
  headers: readonly Header[],
  {nowMs, isUp}: {readonly nowMs: number; readonly isUp: (server: ServerConfig) => boolean},
): CookieFinding {
  let finding: CookieFinding = {server: null, flag: 'N', lastSeenMs: null, firstSeenMs: null};
  for (const value of cookieValues(headers, cookie.name)) {
    const isPrefix = cookie.how === 'prefix';
    const dates = isPrefix ? finding : datesOf(value, finding);
    const tooOld = isPrefix ? null : tooOldFlag(cookie, dates, nowMs);
    finding = tooOld === null ? {...finding, ...dates} : {server: null, flag: tooOld, lastSeenMs: null, firstSeenMs: null};
    const end = value.indexOf(isPrefix ? '~' : '|');
    const name = end === -1 ? value : value.slice(0, end);
    const named = tooOld !== null || name === '' ? [] : servers.havingCookie(name);
    const server = named.find(isUp);
    if (server !== undefined) return {...finding, server, flag: 'V'};
    if (named.length > 0) finding = {...finding, flag: 'D'};
    else if (finding.flag === 'N') finding = {...finding, flag: 'I'};
  }
  return finding;
}

type Dates = Pick<CookieFinding, 'lastSeenMs' | 'firstSeenMs'>;

function datesOf(value: string, before: Dates): Dates {
  const [, last = '', first = ''] = value.split('|');
  return {lastSeenMs: decodeDateMs(last) ?? before.lastSeenMs, firstSeenMs: decodeDateMs(first) ?? before.firstSeenMs};
}

/** Such a cookie is as if it was not there. */
function tooOldFlag(cookie: CookiePersistence, {lastSeenMs, firstSeenMs}: Dates, nowMs: number): 'O' | 'E' | null {
  if (isTooOld(firstSeenMs, cookie.maxLifeMs, nowMs)) return 'O';
  return isTooOld(lastSeenMs, cookie.maxIdleMs, nowMs) ? 'E' : null;
}

/** What the server sees of the cookie. */
export function requestForServer(cookie: CookiePersistence, headers: Header[]): Header[] {
  const {name} = cookie;
  if (cookie.how === 'prefix') {
    return editLines(headers, name, (parts) => parts.map((part) => (part.name === name ? withoutPrefix(part) : `${part.delimiter}${part.text}`)).join(''));
  }
  return cookie.how === 'insert' && cookie.indirect ? editLines(headers, name, (parts) => withoutCookie(parts, name)) : headers;
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

function newCookie(cookie: CookiePersistence, value: string, dates: string): string {
  let text = `${cookie.name}=${value}${dates}; path=/`;
  for (const domain of cookie.domains) text += `; domain=${domain}`;
  if (cookie.httpOnly) text += '; HttpOnly';
  if (cookie.secure) text += '; Secure';
  for (const attribute of cookie.attributes) text += `; ${attribute}`;
  return text;
}

function datesFor(cookie: CookiePersistence, {firstSeenMs}: CookieFinding, nowMs: number): string {
  if (cookie.maxIdleMs === null && cookie.maxLifeMs === null) return '';
  const first = cookie.maxLifeMs === null ? '' : `|${encodeDate(firstSeenMs ?? nowMs)}`;
  return `|${encodeDate(nowMs)}${first}`;
}

/** Whether the client has another date to keep, or one that is not kept any more. */
function needsDates(cookie: CookiePersistence, {lastSeenMs, firstSeenMs}: CookieFinding, nowMs: number): boolean {
  const keepsFirst = cookie.maxLifeMs !== null;
  if (keepsFirst !== (firstSeenMs !== null)) return true;
  return lastSeenMs === null ? cookie.maxIdleMs !== null : lastSeenMs < Math.floor(nowMs / 1000) * 1000;
}

/** Makes the answer of `server` bring the client back to it. `value`: what its cookie says; null: it has none. */
export function responseForClient(
  cookie: CookiePersistence,
  headers: Header[],
  found: {readonly finding: CookieFinding; readonly server: ServerConfig; readonly value: string | null; readonly method: string; readonly nowMs: number},
): Persisted {
  const {finding, server, value, method, nowMs} = found;
  const own = headers.some((header) => setCookieOf(cookie, header) !== null);
  if (cookie.how !== 'insert') {
    if (!own || value === null) return {headers, flag: 'N'};
    const changed = headers.map((header): Header => {
      const set = setCookieOf(cookie, header);
      if (set === null) return header;
      return ['set-cookie', `${cookie.name}=${value}${cookie.how === 'prefix' ? `~${set.value}` : ''}${set.rest}`];
    });
    return {headers: noCache(cookie, changed), flag: 'R'};
  }
  if (own && cookie.preserve) return {headers, flag: 'P'};
  const kept = own && cookie.indirect ? headers.filter((header) => setCookieOf(cookie, header) === null) : headers;
  const dates = datesFor(cookie, finding, nowMs);
  const isKnown = finding.server === server && !needsDates(cookie, finding, nowMs);
  if (isKnown || value === null || (cookie.postOnly && method !== 'POST')) return {headers: kept, flag: own && cookie.indirect ? 'D' : 'N'};
  kept.push(['set-cookie', newCookie(cookie, value, dates)]);
  return {headers: noCache(cookie, kept), flag: finding.server === server ? 'U' : 'I'};
}

function noCache(cookie: CookiePersistence, headers: Header[]): Header[] {
  if (cookie.noCache) headers.push(['cache-control', 'private']);
  return headers;
}
