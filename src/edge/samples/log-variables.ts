/**
 * The variables of log formats, `%ci` and so on: HAProxy's manual, section 8.2.6. What only a finished session knows comes from its record; rules
 * that ask before there is one get what is known of the connection and the request.
 */
import {hostname} from 'node:os';
import type {FormatOptions} from '../../config/sample.ts';
import type {SessionRecord, SessionTimes} from '../logs/session-record.ts';
import {parseAddress} from './address.ts';
import type {SampleContext} from './context.ts';
import {capturesOf} from './fetch-internal.ts';
import {clfDate, logDate, utcClfDate} from './log-dates.ts';
import {pathAndQuery, queryOf} from './request-target.ts';
import {toBytes} from './value.ts';

type TextOf = (context: SampleContext) => string | null;

export interface SimpleVariable {
  /** `text`: quotes, escapes and a dash for nothing apply; `plain`: as it is, and null writes nothing. */
  readonly kind: 'text' | 'plain';
  readonly of: TextOf;
  /** With `+X`; null: as without. */
  readonly hex: TextOf | null;
}

type Dress = Pick<FormatOptions, 'quote' | 'escape'>;

/** What came from outside: its value is encoded, and quoted and escaped as a whole or in parts. */
export interface ForeignVariable {
  readonly kind: 'foreign';
  readonly of: (context: SampleContext, dress: Dress) => string | null;
}

export type LogVariable = SimpleVariable | ForeignVariable;

function text(of: TextOf): SimpleVariable {
  return {kind: 'text', of, hex: null};
}

function plain(of: TextOf): SimpleVariable {
  return {kind: 'plain', of, hex: null};
}

/** With quotes even around nothing. */
function quotable(of: ForeignVariable['of']): ForeignVariable {
  return {kind: 'foreign', of: (context, dress) => (dress.quote ? `"${of(context, dress) ?? ''}"` : of(context, dress))};
}

function upperHex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, '0');
}

/** @param hexDigits null: hexadecimal does not apply */
function number(of: (context: SampleContext) => number | null, hexDigits: number | null = null): SimpleVariable {
  const shown: TextOf = (context) => String(of(context) ?? -1);
  const hex: TextOf | null = hexDigits === null ? null : (context) => upperHex(Math.max(of(context) ?? 0, 0), hexDigits);
  return {kind: 'plain', of: shown, hex};
}

function address(of: TextOf): LogVariable {
  const hex: TextOf = (context) => {
    const host = of(context);
    const bytes = host === null || parseAddress(host) === null ? null : toBytes({type: 'ip', value: host});
    return bytes === null ? '-' : Buffer.from(bytes).toString('hex').toUpperCase();
  };
  return {kind: 'text', of, hex};
}

function port(of: (context: SampleContext) => number | null | undefined): LogVariable {
  const shown: TextOf = (context) => String(of(context) ?? '-');
  return {kind: 'plain', of: shown, hex: (context) => upperHex(of(context) ?? 0, 4)};
}

function recorded<Value>(of: (record: SessionRecord) => Value): (context: SampleContext) => Value | null {
  return (context) => {
    const record = context.record ?? null;
    return record === null ? null : of(record);
  };
}

function count(of: (record: SessionRecord) => number): SimpleVariable {
  return number((context) => {
    const record = context.record ?? null;
    return record === null ? 0 : of(record);
  });
}

/** With a plus sign where `option logasap` does not wait for the rest. */
function growing({kind, of, ...rest}: SimpleVariable): SimpleVariable {
  const sign = ({connection}: SampleContext): string => (connection.frontend.logAsap ? '+' : '');
  return {...rest, kind, of: (context) => `${sign(context)}${of(context) ?? ''}`};
}

function duration(of: (times: SessionTimes) => number | null): SimpleVariable {
  return number(recorded((record) => of(record.times)));
}

function acceptedAt(context: SampleContext): number {
  return context.record?.times.acceptedAtMs ?? context.connection.acceptedAtMs;
}

function requestedAt(context: SampleContext): number {
  return context.record?.times.requestAtMs ?? context.connection.acceptedAtMs;
}

/** `%Tq`: from accept, or the end of the last request, to the head of this one. */
function untilRequest(times: SessionTimes): number | null {
  return times.requestMs === null ? null : (times.handshakeMs ?? 0) + (times.idleMs ?? 0) + times.requestMs;
}

/** `%Td`: what is left of the whole for data, once the head of the answer is here. */
function dataTime(times: SessionTimes): number | null {
  if (times.totalMs === null || times.responseMs === null) return null;
  const before = [untilRequest(times), times.waitMs, times.connectMs, times.responseMs];
  return Math.max(0, times.totalMs - before.reduce<number>((sum, part) => sum + (part ?? 0), 0));
}

/** `%Tu`: as the client sees it, from the first byte of its request on. */
function userTime(times: SessionTimes): number | null {
  if (times.totalMs === null) return null;
  return times.totalMs - (times.idleMs ?? 0);
}

/** With a backslash before what ends a value of structured data: RFC 5424, section 6.3.3. */
export function escaped(value: string): string {
  return value.replace(/["\\\]]/g, '\\$&');
}

/** Not printable, or what quotes and comments are made of, as `#` and two digits. */
function encode(value: string, extra: RegExp, dress: Dress): string {
  const encoded = value.replace(extra, (character) => `#${upperHex(character.charCodeAt(0), 2)}`);
  return dress.escape ? escaped(encoded) : encoded;
}

const inUri = /[^ !$-~]/gs;
const inHeader = /[^ !$-z~]/gs;

type ReceivedRequest = NonNullable<SessionRecord['request']>;

function request(of: (request: ReceivedRequest) => string): LogVariable {
  return quotable((context, dress) => {
    const found = (context.record ?? context).request;
    return found === null ? '<BADREQ>' : encode(of(found), inUri, dress);
  });
}

function withoutQuery(uri: string): string {
  const question = uri.indexOf('?');
  return question < 0 ? uri : uri.slice(0, question);
}

function captures(of: 'request' | 'response'): LogVariable {
  return quotable((context, dress) => {
    const values = capturesOf(context, of);
    return values.length === 0 || context.captures.length === 0 ? null : `{${values.map((value) => encode(value ?? '', inHeader, dress)).join('|')}}`;
  });
}

/** As Apache's log has them: each on its own, and in quotes of its own. */
function capturesApart(of: 'request' | 'response'): LogVariable {
  return {
    kind: 'foreign',
    of(context, dress) {
      const values = context.captures.length === 0 ? [] : capturesOf(context, of);
      const [missing, quote] = dress.quote ? ['""', '"'] : ['-', ''];
      return values.length === 0 ? null : values.map((value) => (value === null ? missing : quote + encode(value, inHeader, dress) + quote)).join(' ');
    },
  };
}

/** Our own answers, and what found no server, have HAProxy's word for it. */
function serverName(context: SampleContext): string {
  return context.record?.server ?? context.server ?? '<NOSRV>';
}

function backendName(context: SampleContext): string {
  return context.record?.backend ?? context.backend ?? context.connection.frontend.name;
}

/** Where there was no answer -1, but of a connection that became no session 0. */
function status({record, response, connection}: SampleContext): number | null {
  return (record?.status ?? response?.status ?? 0) || ((connection.failure ?? null) === null ? null : 0);
}

const host = hostname();

const variables: Readonly<Record<string, LogVariable>> = {
  // The flags of `%o` are spread over the parts by who parses a format.
  o: plain(() => null),
  B: growing(count((record) => record.bytesFromServer)),
  U: count((record) => record.bytesFromClient),
  CC: text((context) => context.record?.requestCookie ?? null),
  CS: text((context) => context.record?.responseCookie ?? null),
  H: text(() => host),
  HM: request((received) => received.method),
  HP: request((received) => withoutQuery(received.uri)),
  HPO: request((received) => withoutQuery(pathAndQuery(received.uri) ?? received.uri)),
  HQ: request((received) => (queryOf(received.uri) === null ? '' : `?${queryOf(received.uri) ?? ''}`)),
  HU: request((received) => received.uri),
  HV: request((received) => `HTTP/${received.version}`),
  ID: text((context) => context.uniqueId ?? null),
  ST: number(status),
  T: plain((context) => utcClfDate(acceptedAt(context))),
  Tl: plain((context) => clfDate(acceptedAt(context))),
  t: plain((context) => logDate(acceptedAt(context))),
  tr: plain((context) => logDate(requestedAt(context))),
  trg: plain((context) => utcClfDate(requestedAt(context))),
  trl: plain((context) => clfDate(requestedAt(context))),
  Ts: number((context) => Math.floor(acceptedAt(context) / 1000), 4),
  ms: {
    ...plain((context) => String(Math.floor(acceptedAt(context)) % 1000).padStart(3, '0')),
    hex: (context) => upperHex(Math.floor(acceptedAt(context)) % 1000, 2),
  },
  Ta: growing(duration((times) => times.activeMs)),
  Tc: duration((times) => times.connectMs),
  Td: duration(dataTime),
  Th: duration((times) => times.handshakeMs),
  Ti: duration((times) => times.idleMs),
  Tq: duration(untilRequest),
  TR: duration((times) => times.requestMs),
  Tr: duration((times) => times.responseMs),
  Tt: growing(duration((times) => times.totalMs)),
  Tu: growing(duration(userTime)),
  Tw: duration((times) => times.waitMs),
  ac: count((record) => record.counts.process),
  fc: count((record) => record.counts.frontend),
  bc: count((record) => record.counts.backend),
  sc: count((record) => record.counts.server),
  rc: plain((context) => {
    const counts = context.record?.counts;
    return `${counts?.redispatched === true ? '+' : ''}${counts?.retries ?? 0}`;
  }),
  sq: count((record) => record.counts.serverQueue),
  bq: count((record) => record.counts.backendQueue),
  b: text(backendName),
  bi: address((context) => context.record?.backendSource?.host ?? null),
  bp: port((context) => context.record?.backendSource?.port),
  ci: address((context) => context.connection.source.host),
  cp: port((context) => context.connection.source.port),
  f: text((context) => context.connection.frontend.name),
  fi: address((context) => context.connection.destination.host),
  fp: port((context) => context.connection.destination.port),
  ft: text(({connection}) => connection.frontend.name + (connection.tls !== null || connection.failure?.overTls === true ? '~' : '')),
  hr: captures('request'),
  hrl: capturesApart('request'),
  hs: captures('response'),
  hsl: capturesApart('response'),
  lc: count((record) => record.lineNumber),
  pid: number(() => process.pid, 4),
  r: request((received) => `${received.method} ${received.uri} HTTP/${received.version}`),
  rt: {...count((record) => record.requestNumber), hex: (context) => upperHex(context.record?.requestNumber ?? 0, 4)},
  s: text(serverName),
  si: address((context) => context.record?.serverAddress?.host ?? null),
  sp: port((context) => context.record?.serverAddress?.port),
  sslc: text((context) => context.connection.tls?.cipher ?? null),
  sslv: text((context) => context.connection.tls?.version ?? null),
  ts: plain((context) => (context.record?.termination ?? '----').slice(0, 2)),
  tsc: plain((context) => context.record?.termination ?? '----'),
};

export const logVariableNames: readonly string[] = Object.keys(variables);

/** Null: there is no such variable. */
export function logVariable(name: string): LogVariable | null {
  return Object.hasOwn(variables, name) ? (variables[name] ?? null) : null;
}
