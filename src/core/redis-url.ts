/**
 * The forms in which a Redis is named. One server: `redis://`, `rediss://` (TLS) and `unix:PATH`. The master that Sentinels name:
 * `sentinel:HOST[:PORT],HOST[:PORT]/MASTER[/DATABASE]`. A Redis Cluster: `cluster:HOST[:PORT],HOST[:PORT]`. `sentinel+tls:` and
 * `cluster+tls:` are the same with TLS; `USER:PASSWORD@` before the hosts is for the servers, `?sentinel-user=U&sentinel-password=P` at
 * the end for the Sentinels.
 */

export interface RedisHost {
  readonly host: string;
  readonly port: number;
}

interface Access {
  readonly tls: boolean;
  readonly username: string | null;
  readonly password: string | null;
}

export type RedisAddress =
  | {readonly kind: 'unix'; readonly path: string}
  | (Access & RedisHost & {readonly kind: 'tcp'; readonly database: number})
  | (Access & {
      readonly kind: 'sentinel';
      readonly sentinels: readonly RedisHost[];
      /** The name under which the Sentinels know the master. */
      readonly master: string;
      readonly database: number;
      readonly sentinelUsername: string | null;
      readonly sentinelPassword: string | null;
    })
  | (Access & {readonly kind: 'cluster'; readonly nodes: readonly RedisHost[]});

export interface InvalidRedisUrl {
  readonly kind: 'invalid';
  readonly reason: string;
}

const forms = 'unix:PATH, redis://HOST[:PORT], rediss://HOST[:PORT], sentinel:HOST[:PORT],.../MASTER or cluster:HOST[:PORT],... is expected';
const severalServers = /^(?<kind>sentinel|cluster)(?<tls>\+tls)?:(?:\/\/)?(?:(?<user>[^@/?]*)@)?(?<hosts>[^@/?]*)(?<path>\/[^?]*)?(?:\?(?<query>.*))?$/s;
const sentinelPort = 26_379;
const serverPort = 6379;

/** The URL as it may be shown: without its passwords. */
export function redactRedisUrl(url: string): string {
  return url
    .replace(/^(?<user>(?:rediss?:\/\/|(?:sentinel|cluster)(?:\+tls)?:(?:\/\/)?)[^:@/]*):[^@]*@/s, '$<user>:***@')
    .replace(/(?<name>[?&]sentinel-password=)[^&]*/, '$<name>***');
}

function invalid(reason: string): InvalidRedisUrl {
  return {kind: 'invalid', reason};
}

/** Returns why it cannot be used where it cannot; the reason never holds a password. */
export function readRedisUrl(url: string): RedisAddress | InvalidRedisUrl {
  if (url.startsWith('unix:')) {
    const path = url.slice('unix:'.length).replace(/^\/\/(?=\/)/, '');
    return path.startsWith('/') ? {kind: 'unix', path} : invalid('the path of the socket must begin with /');
  }
  const several = severalServers.exec(url)?.groups;
  if (several !== undefined) return several['kind'] === 'cluster' ? readCluster(several) : readSentinel(several);
  const parsed = URL.parse(url);
  if (parsed === null || (parsed.protocol !== 'redis:' && parsed.protocol !== 'rediss:') || parsed.hostname === '') return invalid(forms);
  const database = readDatabase(parsed.pathname.slice(1));
  if (typeof database !== 'number') return database;
  const access = {tls: parsed.protocol === 'rediss:', username: decoded(parsed.username), password: decoded(parsed.password)};
  return {kind: 'tcp', ...hostOf(parsed, serverPort), ...access, database};
}

type Parts = Readonly<Record<string, string | undefined>>;

function readCluster({tls, user, hosts = '', path = '', query}: Parts): RedisAddress | InvalidRedisUrl {
  const nodes = readHosts(hosts, serverPort);
  if (nodes === null) return invalid('cluster:HOST[:PORT],HOST[:PORT] is expected');
  if (path.length > 1 && path !== '/0') return invalid('a cluster has database 0 only');
  if (query !== undefined) return invalid('nothing may follow the hosts of a cluster');
  return {kind: 'cluster', nodes, ...readAccess(tls, user)};
}

function readSentinel({tls, user, hosts = '', path = '', query = ''}: Parts): RedisAddress | InvalidRedisUrl {
  const sentinels = readHosts(hosts, sentinelPort);
  const [, master = '', databaseText = '', ...rest] = path.split('/');
  if (sentinels === null || !/^[A-Za-z0-9._-]+$/.test(master) || rest.length > 0) {
    return invalid('sentinel:HOST[:PORT],HOST[:PORT]/MASTER[/DATABASE] is expected');
  }
  const database = readDatabase(databaseText);
  if (typeof database !== 'number') return database;
  const options = new URLSearchParams(query);
  const unknown = [...options.keys()].find((name) => name !== 'sentinel-user' && name !== 'sentinel-password');
  if (unknown !== undefined) return invalid('after the ? only sentinel-user and sentinel-password may stand');
  const [sentinelUsername, sentinelPassword] = [options.get('sentinel-user'), options.get('sentinel-password')];
  return {kind: 'sentinel', sentinels, master, database, ...readAccess(tls, user), sentinelUsername, sentinelPassword};
}

function readDatabase(text: string): number | InvalidRedisUrl {
  return /^\d{0,4}$/.test(text) ? Number(text) : invalid(`"${text}" is not the number of a database`);
}

function readAccess(tls: string | undefined, user = ''): Access {
  const colon = user.indexOf(':');
  const [username, password] = colon === -1 ? [user, ''] : [user.slice(0, colon), user.slice(colon + 1)];
  return {tls: tls !== undefined, username: decoded(username), password: decoded(password)};
}

/** Null when one of them is no host. */
function readHosts(text: string, defaultPort: number): readonly RedisHost[] | null {
  const hosts: RedisHost[] = [];
  for (const part of text.split(',')) {
    const parsed = URL.parse(`redis://${part}`);
    if (parsed === null || parsed.hostname === '') return null;
    hosts.push(hostOf(parsed, defaultPort));
  }
  return hosts;
}

function hostOf({hostname, port}: URL, defaultPort: number): RedisHost {
  return {host: hostname.replace(/^\[(?<inner>.*)\]$/, '$<inner>'), port: port === '' ? defaultPort : Number(port)};
}

/** A part of a URL, in which a wrong escape stands for itself. */
function decoded(text: string): string | null {
  if (text === '') return null;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
