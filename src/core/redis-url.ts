/** The forms in which a Redis server is named: `redis://`, `rediss://` (TLS) and `unix:PATH`. */
import {CodedError} from './errors.ts';

export type RedisAddress =
  | {readonly kind: 'unix'; readonly path: string}
  | {
      readonly kind: 'tcp';
      readonly host: string;
      readonly port: number;
      readonly tls: boolean;
      readonly username: string | null;
      readonly password: string | null;
      readonly database: number;
    };

/** The URL as it may be shown: without its password. */
export function redactRedisUrl(url: string): string {
  return url.replace(/^(?<scheme>rediss?:\/\/)(?<user>[^:@/]*):[^@]*@/, '$<scheme>$<user>:***@');
}

function badUrl(url: string, found: string): CodedError<'ERR_REDIS_URL'> {
  return new CodedError('ERR_REDIS_URL', `Cannot use Redis "${redactRedisUrl(url)}": ${found}`, {source: 'client'});
}

/** @throws CodedError ERR_REDIS_URL */
export function parseRedisUrl(url: string): RedisAddress {
  if (url.startsWith('unix:')) {
    const path = url.slice('unix:'.length).replace(/^\/\/(?=\/)/, '');
    if (!path.startsWith('/')) throw badUrl(url, 'the path of the socket must begin with /');
    return {kind: 'unix', path};
  }
  const parsed = URL.parse(url);
  if (parsed === null || (parsed.protocol !== 'redis:' && parsed.protocol !== 'rediss:') || parsed.hostname === '') {
    throw badUrl(url, 'redis://HOST[:PORT], rediss://HOST[:PORT] or unix:PATH is expected');
  }
  const database = parsed.pathname === '' || parsed.pathname === '/' ? '0' : parsed.pathname.slice(1);
  if (!/^\d{1,4}$/.test(database)) throw badUrl(url, `"${database}" is not the number of a database`);
  return {
    kind: 'tcp',
    host: parsed.hostname.replace(/^\[(?<inner>.*)\]$/, '$<inner>'),
    port: parsed.port === '' ? 6379 : Number(parsed.port),
    tls: parsed.protocol === 'rediss:',
    username: parsed.username === '' ? null : decodeURIComponent(parsed.username),
    password: parsed.password === '' ? null : decodeURIComponent(parsed.password),
    database: Number(database),
  };
}
