/**
 * HAProxy's keywords and sections that are not implemented: those that change nothing here are accepted with a warning,
 * the others are refused by their names, never by silence or as if they were misspelt.
 */
import type {SectionKind} from './keywords.ts';

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

/** `+` stands for the blank in a name of two words. */
const inGlobal = table({
  ignored: `nbthread nbproc cpu-map spread-checks ssl-dh-param-file quiet debug zero-warning nosplice numa-cpu-mapping strict-limits ssl-server-verify
    maxconnrate maxsslconn noepoll nokqueue noevports nopoll nogetaddrinfo noreuseport busy-polling thread-groups thread-group cpu-policy cpu-set
    max-spread-checks no-quic insecure-fork-wanted insecure-setuid-wanted`,
  later: `log stats daemon pidfile master-worker ca-base crt-base user group uid gid chroot ssl-default-bind-options ssl-default-bind-ciphers
    ssl-default-bind-ciphersuites ssl-default-bind-curves ssl-default-bind-sigalgs ssl-default-bind-client-sigalgs ssl-default-server-ciphers
    ssl-default-server-ciphersuites ssl-default-server-options ssl-default-server-curves ssl-default-server-sigalgs server-state-file
    server-state-base ulimit-n setenv presetenv unsetenv resetenv unix-bind log-tag log-send-hostname localpeer node default-path grace
    close-spread-time maxcompcpuusage maxcomprate maxpipes maxsessrate maxsslrate maxzlibmem key-base issuers-chain-path h1-case-adjust
    h1-case-adjust-file h2-workaround-bogus-websocket-clients expose-deprecated-directives expose-experimental-directives set-dumpable
    memory-high memory-low dns-accept-family limited-quic set-var set-var-fmt harden.reject-privileged-ports.tcp stress-level`,
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
    option+contstats option+http-ignore-probes option+prefer-last-server option+tcp-smart-accept option+tcp-smart-connect option+persist
    option+independent-streams option+independant-streams option+http_proxy bind-process http-request+cache-use http-response+cache-store
    max-keep-alive-queue`,
  later: `acl use_backend use-server balance hash-type hash-balance-factor hash-preserve-affinity log log-format log-format-sd error-log-format log-tag
    log-steps retries retry-on errorfile errorfiles errorloc errorloc302 errorloc303 monitor-uri monitor stats http-request http-response
    http-after-response http-check http-error http-reuse http-send-name-header tcp-request tcp-response tcp-check cookie capture declare redirect
    stick-table stick unique-id-format unique-id-header server-template fullconn source backlog dispatch disabled enabled id guid rate-limit
    compression filter load-server-state-from-file server-state-file-name persist ignore-persist force-persist transparent clitcpka-cnt
    clitcpka-idle clitcpka-intvl srvtcpka-cnt srvtcpka-idle srvtcpka-intvl max-session-srv-conns email-alert contimeout clitimeout srvtimeout
    reqadd rspadd reqrep reqirep rspidel reqidel reqdel rspdel rsprep rspirep reqallow reqiallow reqdeny reqideny reqpass reqipass reqtarpit reqitarpit
    rspdeny rspideny block no+log zone wake-rate
    timeout+http-request timeout+http-keep-alive timeout+queue timeout+check timeout+tunnel timeout+client-fin timeout+server-fin timeout+tarpit
    timeout+client-hs timeout+clitimeout timeout+srvtimeout timeout+contimeout
    option+httplog option+tcplog option+dontlognull option+forwardfor option+redispatch option+httpchk option+tcp-check option+http-server-close
    option+http-keep-alive option+httpclose option+log-health-checks option+tcpka option+clitcpka option+srvtcpka option+smtpchk
    option+ssl-hello-chk option+mysql-check option+redis-check option+pgsql-check option+ldap-check option+originalto option+abortonclose
    option+allbackups option+http-use-proxy-header option+httpslog option+socket-stats option+log-separate-errors option+logasap
    option+dontlog-normal option+checkcache option+accept-invalid-http-request option+accept-invalid-http-response
    option+accept-unsafe-violations-in-http-request option+accept-unsafe-violations-in-http-response option+h1-case-adjust-bogus-client
    option+h1-case-adjust-bogus-server option+http-buffer-request option+http-restrict-req-hdr-names option+http-tunnel option+disable-h2-upgrade
    option+use-small-buffers option+idle-close-on-response option+http-drop-request-trailers
    option+http-drop-response-trailers`,
  refused: {
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
  later: 'userlist resolvers http-errors peers cache crt-store',
  refused: {
    mailers: 'watch `picogate events` instead',
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
