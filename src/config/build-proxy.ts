/** Frontends, backends, and `listen` sections as one of each. */

import type {AppDraft} from './build-app.ts';
import {defaultWakeTimeoutMs} from './build-app.ts';
import type {Diagnostic} from './diagnostic.ts';
import {describePosition, type Position} from './position.ts';
import {bareBackend, bareBind, bareFrontend, bareServer} from './proxy-defaults.ts';
import type {ServerSettings} from './proxy-shapes.ts';
import type {BackendConfig, FrontendConfig, ServerConfig} from './proxy-value.ts';
import {type AnySetting, all, effective, isMissing, own, type Section} from './section.ts';

export type TimeoutName = 'timeout client' | 'timeout connect' | 'timeout server';

export interface FrontendDraft {
  readonly value: FrontendConfig;
  readonly section: Section;
  /** Of the name after `default_backend`. */
  readonly backendPosition: Position;
  readonly missingTimeouts: readonly TimeoutName[];
}

export interface BackendDraft {
  readonly value: BackendConfig;
  readonly section: Section;
  /** Null when the section itself does not say. */
  readonly ownMode: FrontendConfig['mode'] | null;
  /** Of each server's address. */
  readonly targetPositions: readonly Position[];
  readonly missingTimeouts: readonly TimeoutName[];
}

export function buildFrontend(section: Section, {maxconn}: {maxconn: number}, report: (diagnostic: Diagnostic) => void): FrontendDraft {
  const alert = (position: Position, word: string, message: string): void => report({level: 'alert', position, word, message});
  const mode = effective(section, 'mode')?.value ?? 'tcp';
  const binds = all(section, 'bind').flatMap(({value}) => value);
  if (isMissing(section, 'bind')) {
    alert(section.position, section.name, `${section.kind} '${section.name}' has no 'bind' directive; declare it as a backend if this was intended`);
  }
  for (const bind of binds) {
    if (mode !== 'nat' && bind.protocol !== null && bind.protocol !== mode) {
      alert(bind.position, `${bind.protocol}@`, `a ${bind.protocol} bind is not possible in mode ${mode}, use 'mode ${bind.protocol}' or 'mode nat'`);
    }
    if (mode === 'nat' && bind.host.includes(':')) alert(bind.position, bind.host, 'IPv6 is not implemented yet in mode nat');
    if (mode === 'nat' && /[^\d.:]/.test(bind.host)) alert(bind.position, bind.host, `mode nat needs an address, '${bind.host}' is a name`);
  }
  const backend = effective(section, 'default_backend')?.value;
  if (backend === undefined && section.kind === 'frontend' && isMissing(section, 'default_backend') && !hasOtherAnswers(section)) {
    alert(section.position, section.name, `frontend '${section.name}' has no 'default_backend'`);
  }
  const bare = bareFrontend(section);
  const value: FrontendConfig = {
    ...bare,
    mode,
    binds: binds.map(({protocol, host, port, position}) => bareBind({protocol: protocol ?? (mode === 'udp' ? 'udp' : 'tcp'), host, port, position})),
    // A listen section answers itself, whatever its defaults say.
    defaultBackend:
      (section.kind === 'listen' ? own(section, 'default_backend')?.value.text : backend?.text) ?? (section.kind === 'listen' ? section.name : ''),
    maxconn: effective(section, 'maxconn')?.value ?? maxconn,
    clientTimeoutMs: effective(section, 'timeout client')?.value ?? bare.clientTimeoutMs,
  };
  return {value, section, backendPosition: backend?.position ?? section.position, missingTimeouts: missing(section, ['timeout client'])};
}

export function buildBackend(section: Section, apps: ReadonlyMap<string, AppDraft>, report: (diagnostic: Diagnostic) => void): BackendDraft {
  const statements = all(section, 'server').map(({value}) => value);
  const servers = buildServers(section);
  const seen = new Map<string, Position>();
  for (const {name} of statements) {
    const earlier = seen.get(name.text);
    if (earlier === undefined) seen.set(name.text, name.position);
    else
      report({level: 'alert', position: name.position, word: name.text, message: `server '${name.text}' is already defined at ${describePosition(earlier)}`});
  }
  const bare = bareBackend(section);
  const value: BackendConfig = {
    ...bare,
    mode: effective(section, 'mode')?.value ?? bare.mode,
    servers,
    connectTimeoutMs: effective(section, 'timeout connect')?.value ?? bare.connectTimeoutMs,
    serverTimeoutMs: effective(section, 'timeout server')?.value ?? bare.serverTimeoutMs,
    wakeTimeoutMs: wakeTimeoutMs(section, servers, apps),
  };
  return {
    value,
    section,
    ownMode: own(section, 'mode')?.value ?? null,
    targetPositions: statements.map(({targetPosition}) => targetPosition),
    missingTimeouts: missing(section, ['timeout connect', 'timeout server']),
  };
}

/** Sections may answer by what is not implemented and was refused; then nothing more is missing. */
export function hasOtherAnswers({failed}: Section): boolean {
  return ['use_backend', 'http-request', 'redirect', 'stats', 'monitor-uri', 'server', 'server-template', 'dispatch'].some((name) => failed.has(name));
}

function missing(section: Section, names: readonly TimeoutName[]): readonly TimeoutName[] {
  return names.filter((name) => isMissing(section, name));
}

/** `default-server` holds for the servers that follow it. */
function buildServers(section: Section): readonly ServerConfig[] {
  let defaults = inheritedServerSettings(section.defaults);
  const servers: ServerConfig[] = [];
  for (const setting of section.settings) {
    defaults = withDefaultServer(defaults, setting);
    if (setting.name !== 'server') continue;
    const {name, target, settings} = setting.value;
    const bare = bareServer({name: name.text, target, position: name.position});
    servers.push({...bare, maxqueue: settings.maxqueue ?? defaults.maxqueue ?? bare.maxqueue});
  }
  return servers;
}

function inheritedServerSettings(section: Section | null): ServerSettings {
  return section === null ? {} : section.settings.reduce(withDefaultServer, inheritedServerSettings(section.defaults));
}

function withDefaultServer(defaults: ServerSettings, setting: AnySetting): ServerSettings {
  return setting.name === 'default-server' ? {...defaults, ...setting.value} : defaults;
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
  const inherited = effective(section, 'timeout wake')?.value ?? defaultWakeTimeoutMs;
  return ofApps.length === 0 ? inherited : Math.max(...ofApps);
}
