/**
 * HAProxy's keywords and sections that are not implemented: those that change nothing here are accepted with a warning,
 * the others are refused by their names, never by silence or as if they were misspelt.
 */
import type {SectionKind} from './keyword.ts';

export type KnownKeyword =
  | {readonly kind: 'ignored'}
  | {readonly kind: 'later'}
  /** Not planned; `instead` says what to do. */
  | {readonly kind: 'refused'; readonly instead: string};

const later: KnownKeyword = {kind: 'later'};
const ignored: KnownKeyword = {kind: 'ignored'};

function table(entries: {
  readonly ignored: string;
  readonly later: string;
  readonly refused: Readonly<Record<string, string>>;
}): ReadonlyMap<string, KnownKeyword> {
  const names = (text: string): string[] => text.split(/[\s,]+/).filter((name) => name !== '');
  const spaced = (name: string): string => name.replace('+', ' ');
  return new Map([
    ...names(entries.ignored).map((name) => [spaced(name), ignored] as const),
    ...names(entries.later).map((name) => [spaced(name), later] as const),
    ...Object.entries(entries.refused).map(([name, instead]) => [name, {kind: 'refused', instead}] as const),
  ]);
}

const unix = 'run picogate as a unit of systemd or in the foreground';
const lua = 'there is no Lua';
const external = 'run the check where the server is';
const mailers = 'watch `picogate events` instead';

/** `+` stands for the blank in a name of two words. */
const inGlobal = table({
  ignored: `nbproc chroot cpu-map spread-checks ssl-dh-param-file quiet debug zero-warning nosplice numa-cpu-mapping strict-limits ssl-server-verify
    maxconnrate maxsslconn noepoll nokqueue noevports nopoll nogetaddrinfo noreuseport busy-polling thread-groups thread-group cpu-policy cpu-set
    max-spread-checks no-quic insecure-fork-wanted insecure-setuid-wanted ssl-default-bind-curves ssl-default-bind-sigalgs
    ssl-default-bind-client-sigalgs ssl-default-server-curves ssl-default-server-sigalgs close-spread-time maxcompcpuusage maxcomprate maxpipes
    maxzlibmem set-dumpable expose-deprecated-directives expose-experimental-directives dns-accept-family limited-quic grace h1-case-adjust
    h1-case-adjust-file maxsessrate maxsslrate no-memory-trimming pp2-never-send-local profiling.tasks ssl-load-extra-files stats+maxconn stats+bind-process
    h2-workaround-bogus-websocket-clients`,
  later: `resetenv key-base issuers-chain-path
    harden.reject-privileged-ports.tcp stress-level ssl-load-extra-del-ext`,
  refused: {
    'lua-load': lua,
    'lua-load-per-thread': lua,
    'lua-prepend-path': lua,
    'external-check': external,
    '51degrees-data-file': 'there is no device detection',
    'deviceatlas-json-file': 'there is no device detection',
    'wurfl-data-file': 'there is no device detection',
    'ssl-engine': 'there are no OpenSSL engines',
    'ssl-mode-async': 'there are no OpenSSL engines',
    'ssl-provider': 'there are no OpenSSL providers',
    'ocsp-update.mode': 'OCSP responses are not fetched',
    'mworker-max-reloads': unix,
  },
});

const inProxies = table({
  ignored: `option+http-pretend-keepalive option+splice-auto option+splice-request option+splice-response option+http-no-delay option+nolinger
    option+contstats option+prefer-last-server option+tcp-smart-accept option+tcp-smart-connect option+persist
    option+independent-streams option+independant-streams option+http_proxy option+h1-case-adjust-bogus-client
    option+h1-case-adjust-bogus-server option+http-tunnel option+disable-h2-upgrade option+use-small-buffers option+idle-close-on-response
    bind-process max-keep-alive-queue guid max-session-srv-conns force-persist ignore-persist clitcpka-cnt clitcpka-idle clitcpka-intvl
    srvtcpka-cnt srvtcpka-idle srvtcpka-intvl peers timeout+client-hs`,
  later: `stats+bind-process log-steps use-small-buffers
    persist hash-balance-factor hash-preserve-affinity http-drop-request-trailers
    http-drop-response-trailers filter no+stats tcp-response+session reqallow reqiallow reqdeny reqideny reqpass reqipass
    reqtarpit reqitarpit rsprep rspirep rspdeny rspideny
    option+transparent option+checkcache option+accept-invalid-http-request option+accept-invalid-http-response
    option+accept-unsafe-violations-in-http-request option+accept-unsafe-violations-in-http-response
    option+http-drop-request-trailers option+http-drop-response-trailers`,
  refused: {
    'email-alert': mailers,
    'option external-check': external,
    'external-check': external,
    'option spop-check': 'there is no SPOE',
    'use-fcgi-app': 'put a web server that speaks FastCGI in front of the application',
    'option forceclose': "use 'option httpclose'",
    'option tcpsplice': 'remove it',
    appsession: "HAProxy has dropped it too; use 'stick' rules there",
    'monitor-net': 'HAProxy has dropped it too',
    'quic-initial': 'there is no QUIC',
  },
});

/** Sections that other programs' configurations hold and this one does not know yet. */
export const knownSections: ReadonlyMap<string, KnownKeyword> = table({
  ignored: '',
  later: 'crt-store',
  refused: {
    mailers,
    program: unix,
    ring: 'send logs to the system log',
    'log-forward': 'send logs to the system log',
    'log-profile': 'send logs to the system log',
    'fcgi-app': 'put a web server that speaks FastCGI in front of the application',
    'spoe-agent': 'there is no SPOE',
    'spoe-message': 'there is no SPOE',
    traces: 'remove it',
    acme: 'get certificates with an ACME client',
    namespace_list: 'every app has a namespace of its own',
  },
});

/** Families of which a message names the second word too: `http-request redirect`. */
const families: ReadonlySet<string> = new Set([
  ...['http-request', 'http-response', 'http-after-response', 'http-check', 'tcp-request', 'tcp-response', 'tcp-check', 'stats', 'capture', 'stick'],
  ...['balance', 'monitor', 'compression', 'option'],
]);

/** The keywords of HAProxy that are not implemented in a section of this kind. */
export function knownKeywords(kind: SectionKind): ReadonlyMap<string, KnownKeyword> {
  switch (kind) {
    case 'global':
      return inGlobal;
    case 'app':
    case 'userlist':
    case 'resolvers':
    case 'http-errors':
    case 'peers':
    case 'cache':
      return new Map();
    case 'defaults':
    case 'frontend':
    case 'backend':
    case 'listen':
      return inProxies;
    default:
      return kind satisfies never;
  }
}

/** Finds the first one or two words of a line among the known keywords. */
export function findKnown(kind: SectionKind, first: string, second: string | undefined): {readonly name: string; readonly known: KnownKeyword} | undefined {
  const known = knownKeywords(kind);
  // `http-request set-var(txn.a) ...`: the name ends before the parenthesis.
  const both = second === undefined ? first : `${first} ${second.replace(/\(.*$/s, '')}`;
  const exact = known.get(both);
  if (exact !== undefined) return {name: both, known: exact};
  const family = known.get(first);
  if (family !== undefined) return {name: families.has(first) ? both : first, known: family};
  if (kind === 'global' && /^(?:tune|httpclient)\.[a-z0-9._-]+$/.test(first)) return {name: first, known: ignored};
  return undefined;
}
