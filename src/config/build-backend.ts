/** Backends, those of `listen` sections included. */
import {dirname, resolve} from 'node:path';
import type {AppDraft} from './build-app.ts';
import {defaultWakeTimeoutMs} from './build-app.ts';
import {type BuildContext, buildBase, present} from './build-base.ts';
import {buildCheck} from './build-check.ts';
import type {TlsDefaults} from './build-global.ts';
import {buildServers, type ServerDrafts} from './build-servers.ts';
import {missingTimeouts, type TimeoutName} from './missing-timeouts.ts';
import {describePosition, type Position} from './position.ts';
import type {ProcessConfig} from './process-value.ts';
import {bareBackend} from './proxy-defaults.ts';
import type {BackendConfig, ProxyMode, ServerConfig, StateFile} from './proxy-value.ts';
import {all, effective, own, type Section} from './section.ts';

export interface BackendDraft extends ServerDrafts {
  readonly value: BackendConfig;
  readonly section: Section;
  /** Null when the section itself does not say. */
  readonly ownMode: ProxyMode | null;
  readonly missingTimeouts: readonly TimeoutName[];
}

export interface BackendContext extends BuildContext {
  readonly tls: TlsDefaults;
  readonly apps: ReadonlyMap<string, AppDraft>;
}

export function buildBackend(section: Section, context: BackendContext): BackendDraft {
  const check = buildCheck(section, context.report);
  const drafts = buildServers(section, {...context, check});
  const {servers} = drafts;
  reportRepeatedServers(servers, context);
  const bare = bareBackend(section);
  const value: BackendConfig = {
    ...bare,
    ...buildBase(section, 'backend', context),
    servers,
    balance: effective(section, 'balance')?.value ?? bare.balance,
    hash: effective(section, 'hash-type')?.value ?? bare.hash,
    useServers: present(all(section, 'use-server')),
    connectTimeoutMs: effective(section, 'timeout connect')?.value ?? bare.connectTimeoutMs,
    serverTimeoutMs: effective(section, 'timeout server')?.value ?? bare.serverTimeoutMs,
    serverFinTimeoutMs: effective(section, 'timeout server-fin')?.value ?? null,
    queueTimeoutMs: effective(section, 'timeout queue')?.value ?? null,
    checkTimeoutMs: effective(section, 'timeout check')?.value ?? null,
    wakeTimeoutMs: wakeTimeoutMs(section, servers, context.apps),
    waitPage: effective(section, 'wait-page')?.value ?? null,
    check,
    retries: effective(section, 'retries')?.value ?? bare.retries,
    redispatch: effective(section, 'option redispatch')?.value ?? null,
    retryOn: effective(section, 'retry-on')?.value ?? bare.retryOn,
    allBackups: effective(section, 'option allbackups')?.value ?? false,
    fullconn: effective(section, 'fullconn')?.value ?? null,
    cookie: effective(section, 'cookie')?.value ?? null,
    dynamicCookieKey: effective(section, 'dynamic-cookie-key')?.value ?? null,
    stickRules: section.settings.flatMap((setting) =>
      setting.name === 'stick on' || setting.name === 'stick match' || setting.name === 'stick store-request' || setting.name === 'stick store-response'
        ? [setting.value]
        : [],
    ),
    serverNameHeader: effective(section, 'http-send-name-header')?.value.toLowerCase() ?? null,
    httpReuse: effective(section, 'http-reuse')?.value ?? bare.httpReuse,
    abortOnClose: effective(section, 'option abortonclose')?.value ?? false,
    logHealthChecks: effective(section, 'option log-health-checks')?.value ?? false,
    tcpKeepAlive: (effective(section, 'option srvtcpka')?.value ?? false) || (effective(section, 'option tcpka')?.value ?? false),
    stateFile: stateFile(section, context.global.process),
    source: effective(section, 'source')?.value ?? null,
  };
  return {
    ...drafts,
    value,
    section,
    ownMode: own(section, 'mode')?.value ?? null,
    missingTimeouts: missingTimeouts(section, ['timeout connect', 'timeout server']),
  };
}

/** Which file says in what state the servers begin. */
function stateFile(section: Section, {serverStateFile, serverStateBase}: ProcessConfig): StateFile | null {
  const scope = effective(section, 'load-server-state-from-file')?.value ?? 'none';
  switch (scope) {
    case 'none':
      return null;
    case 'global':
      return serverStateFile === null ? null : {scope, path: serverStateFile};
    case 'local': {
      const name = effective(section, 'server-state-file-name')?.value ?? section.name;
      return {scope, path: resolve(serverStateBase ?? dirname(section.position.file), name)};
    }
    default:
      return scope satisfies never;
  }
}

function reportRepeatedServers(servers: readonly ServerConfig[], {report}: BackendContext): void {
  const seen = new Map<string, Position>();
  for (const {name, position} of servers) {
    const earlier = seen.get(name);
    if (earlier === undefined) seen.set(name, position);
    else report({level: 'alert', position, word: name, message: `server '${name}' is already defined at ${describePosition(earlier)}`});
  }
}

/** A backend that says nothing itself waits as long as its apps say in their sections; the defaults come after that. */
function wakeTimeoutMs(section: Section, servers: readonly ServerConfig[], apps: ReadonlyMap<string, AppDraft>): number {
  const said = own(section, 'timeout wake');
  if (said !== undefined) return said.value;
  const ofApps = servers.flatMap(({target}) => {
    const app = target.kind === 'app' ? apps.get(target.app) : undefined;
    const wake = app === undefined ? undefined : own(app.section, 'timeout wake');
    return wake === undefined ? [] : [wake.value];
  });
  const fallback = effective(section, 'timeout wake')?.value ?? defaultWakeTimeoutMs;
  return ofApps.length === 0 ? fallback : Math.max(...ofApps);
}
