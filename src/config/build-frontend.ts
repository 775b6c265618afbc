/** Frontends, those of `listen` sections included. */

import {dirname, resolve} from 'node:path';
import type {BindOptions, BindStatement, PlacedBind} from './bind-shape.ts';
import {type BuildContext, buildBase, nullIfZero, present} from './build-base.ts';
import {buildDns} from './build-dns.ts';
import type {TlsDefaults} from './build-global.ts';
import {missingTimeouts, type TimeoutName} from './missing-timeouts.ts';
import type {Position} from './position.ts';
import {bareBind, bareFrontend} from './proxy-defaults.ts';
import type {Bind, FrontendConfig, ProxyMode, UnixSocket} from './proxy-value.ts';
import {all, effective, inOrder, isMissing, own, type Section} from './section.ts';
import type {TlsBind} from './tls.ts';
import {versionRange} from './tls-options.ts';
import type {UnixBindDefaults} from './unix-bind-shape.ts';

export interface FrontendDraft {
  readonly value: FrontendConfig;
  readonly section: Section;
  /** Of the name after `default_backend`. */
  readonly backendPosition: Position;
  readonly missingTimeouts: readonly TimeoutName[];
}

export interface FrontendContext extends BuildContext {
  readonly tls: TlsDefaults;
  readonly unixBind: UnixBindDefaults;
}

export function buildFrontend(section: Section, context: FrontendContext): FrontendDraft {
  const base = buildBase(section, 'frontend', context);
  const {mode} = base;
  const bare = bareFrontend(section);
  const backend = effective(section, 'default_backend')?.value;
  const value: FrontendConfig = {
    ...bare,
    ...base,
    binds: buildBinds(section, mode, context),
    useBackends: present(all(section, 'use_backend')),
    // A listen section answers itself, whatever its defaults say.
    defaultBackend:
      (section.kind === 'listen' ? own(section, 'default_backend')?.value.text : backend?.text) ?? (section.kind === 'listen' ? section.name : ''),
    maxconn: effective(section, 'maxconn')?.value ?? context.global.maxconn,
    clientTimeoutMs: effective(section, 'timeout client')?.value ?? bare.clientTimeoutMs,
    clientFinTimeoutMs: effective(section, 'timeout client-fin')?.value ?? null,
    monitorUri: effective(section, 'monitor-uri')?.value ?? null,
    monitorFail: all(section, 'monitor fail').map((setting) => setting.value),
    uniqueId: uniqueId(section),
    cookieCapture: effective(section, 'capture cookie')?.value ?? null,
    captures: (['request', 'response'] as const).flatMap((of) => section.scope.captures.filter((slot) => slot.of === of)),
    logFormat: logFormat(section),
    errorLogFormat: effective(section, 'error-log-format')?.value ?? null,
    structuredLogFormat: effective(section, 'log-format-sd')?.value ?? null,
    logAsap: effective(section, 'option logasap')?.value ?? false,
    ignoreProbes: effective(section, 'option http-ignore-probes')?.value ?? false,
    dontLogNull: effective(section, 'option dontlognull')?.value ?? false,
    dontLogNormal: effective(section, 'option dontlog-normal')?.value ?? false,
    logSeparateErrors: effective(section, 'option log-separate-errors')?.value ?? false,
    tcpKeepAlive: (effective(section, 'option clitcpka')?.value ?? false) || (effective(section, 'option tcpka')?.value ?? false),
    socketStats: effective(section, 'option socket-stats')?.value ?? false,
    sessionRateLimit: nullIfZero(effective(section, 'rate-limit sessions')?.value),
    dns: mode === 'dns' ? buildDns(section, context.report) : null,
  };
  if (mode !== 'dns') refuseDnsKeywords(section, context);
  return {value, section, backendPosition: backend?.position ?? section.position, missingTimeouts: missingTimeouts(section, ['timeout client'])};
}

function refuseDnsKeywords(section: Section, {report}: FrontendContext): void {
  for (const {name, position} of inOrder(section, ['zone', 'record', 'forward', 'answer-with', 'response-rate'])) {
    report({level: 'alert', position, word: name, message: `'${name}' needs 'mode dns'`});
  }
}

function uniqueId(section: Section): FrontendConfig['uniqueId'] {
  const format = effective(section, 'unique-id-format')?.value;
  return format === undefined ? null : {format, header: effective(section, 'unique-id-header')?.value ?? null};
}

const namedFormats = {'option httplog': 'httplog', 'option tcplog': 'tcplog', 'option httpslog': 'httpslog', 'option jsonlog': 'jsonlog'} as const;
const wakeFormats = {httplog: 'httplog-wake', tcplog: 'tcplog-wake'} as const;

/** Of all that say it the last one counts; `no option httplog` takes back its own only. */
function logFormat(section: Section): FrontendConfig['logFormat'] {
  let format: FrontendConfig['logFormat'] = {kind: 'default'};
  for (const setting of inOrder(section, ['log-format', 'option httplog', 'option tcplog', 'option httpslog', 'option jsonlog'])) {
    if (setting.name === 'log-format') {
      format = {kind: 'format', format: setting.value};
      continue;
    }
    const kind = namedFormats[setting.name];
    if (setting.value === false) {
      if (format.kind.replace('-wake', '') === kind) format = {kind: 'default'};
    } else format = {kind: setting.value === 'wake' && kind in wakeFormats ? wakeFormats[kind as keyof typeof wakeFormats] : kind};
  }
  return format;
}

function buildBinds(section: Section, mode: ProxyMode, context: FrontendContext): readonly Bind[] {
  const {report} = context;
  const statements = all(section, 'bind').map(({value}) => value);
  if (isMissing(section, 'bind')) {
    const message = `${section.kind} '${section.name}' has no 'bind' directive; declare it as a backend if this was intended`;
    report({level: 'alert', position: section.position, word: section.name, message});
  }
  const backlog = effective(section, 'backlog')?.value ?? null;
  return statements.flatMap((statement) => {
    const tls = buildTls(statement, mode, context);
    return statement.addresses.flatMap((address) => {
      checkAddress(address, mode, context);
      const bind = buildBind(address, statement.options, {mode, tls, backlog, unix: context.unixBind});
      // Questions come by either protocol.
      return mode === 'dns' && address.protocol === null ? [{...bind, protocol: 'udp' as const}, bind] : [bind];
    });
  });
}

function checkAddress({protocol, host, socket, position}: PlacedBind, mode: ProxyMode, {report}: FrontendContext): void {
  const alert = (word: string, message: string): void => report({level: 'alert', position, word, message});
  const only: 'tcp' | 'udp' | null = mode === 'nat' || mode === 'dns' ? null : mode === 'udp' ? 'udp' : 'tcp';
  if (only !== null && protocol !== null && protocol !== only) {
    const instead = protocol === 'udp' ? "use 'mode udp', 'mode dns' or 'mode nat'" : "use 'mode tcp' or 'mode nat'";
    alert(`${protocol}@`, `a ${protocol} bind is not possible in mode ${mode}, ${instead}`);
  }
  if (socket !== undefined && mode !== 'tcp' && mode !== 'http') {
    alert(socket.kind, `${socket.kind === 'fd' ? 'an inherited descriptor' : 'a unix socket'} is not possible in mode ${mode}`);
  }
  if (mode === 'nat' && host.includes(':')) alert(host, 'IPv6 is not implemented yet in mode nat');
  if (mode === 'nat' && /[^\d.:]/.test(host)) alert(host, `mode nat needs an address, '${host}' is a name`);
}

interface BindParts {
  readonly mode: ProxyMode;
  readonly tls: TlsBind | null;
  readonly backlog: number | null;
  readonly unix: UnixBindDefaults;
}

function buildBind(address: PlacedBind, options: BindOptions, {mode, tls, backlog, unix}: BindParts): Bind {
  const {protocol, host, port, socket, position} = address;
  return {
    ...bareBind({protocol: protocol ?? (mode === 'udp' ? 'udp' : 'tcp'), host, port, position}),
    unix: socket?.kind === 'unix' ? unixSocket(socket, {options, defaults: unix, position}) : null,
    inheritedFd: socket?.kind === 'fd' ? socket.fd : null,
    name: options.name,
    acceptProxy: options.acceptProxy,
    tls,
    proto: options.proto,
    v6only: options.v6only,
    transparent: options.transparent,
    interface: options.interface,
    maxconn: options.maxconn,
    backlog: options.backlog ?? backlog,
  };
}

function unixSocket(
  {path, abstract}: {path: string; abstract: boolean},
  bind: {options: BindOptions; defaults: UnixBindDefaults; position: Position},
): UnixSocket {
  const {options, defaults, position} = bind;
  return {
    path: abstract ? path : resolve(dirname(position.file), `${defaults.prefix}${path}`),
    abstract,
    mode: options.mode ?? defaults.mode,
    user: options.user ?? defaults.user,
    group: options.group ?? defaults.group,
  };
}

function buildTls({addresses, options}: BindStatement, mode: ProxyMode, {tls: defaults, report}: FrontendContext): TlsBind | null {
  const position = addresses[0]?.position;
  if (position === undefined) return null;
  if (!options.ssl) {
    if (options.certificates.length > 0) report({level: 'warning', position, word: 'crt', message: "'crt' has no effect without 'ssl'"});
    return null;
  }
  if (mode !== 'tcp' && mode !== 'http') report({level: 'alert', position, word: 'ssl', message: `'ssl' is not possible in mode ${mode}`});
  if (options.certificates.length === 0) {
    report({level: 'alert', position, word: 'ssl', message: "no SSL certificate specified for this bind (use 'crt')"});
  }
  const {tls} = options;
  const verify = tls.verify ?? defaults.bind.verify ?? 'none';
  if (verify !== 'none' && tls.caFile === undefined) {
    report({level: 'alert', position, word: 'verify', message: `'verify ${verify}' needs a 'ca-file'`});
  }
  return {
    ...versionRange(tls, defaults.bind),
    certificates: options.certificates,
    strictSni: tls.strictSni ?? false,
    alpn: tls.alpn ?? [],
    ciphers: tls.ciphers ?? defaults.bind.ciphers ?? null,
    ciphersuites: tls.ciphersuites ?? defaults.bind.ciphersuites ?? null,
    tickets: tls.tickets ?? defaults.bind.tickets ?? true,
    ticketKeysFile: tls.ticketKeysFile ?? null,
    verify,
    caFile: tls.caFile ?? null,
    crlFile: tls.crlFile ?? null,
  };
}
