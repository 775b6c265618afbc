/** What can be wrong only between sections. */

import {isIPv4} from 'node:net';
import {canonicalHost} from './address.ts';
import type {AppDraft} from './build-app.ts';
import type {BackendDraft} from './build-backend.ts';
import type {FrontendDraft} from './build-frontend.ts';
import {checkReferences} from './check-references.ts';
import type {Diagnostic} from './diagnostic.ts';
import {keywords} from './keywords.ts';
import type {TimeoutName} from './missing-timeouts.ts';
import {describePosition, type Position} from './position.ts';
import type {FrontendConfig, ServerConfig} from './proxy-value.ts';
import {effective, own, type Section} from './section.ts';
import {didYouMean} from './suggestion.ts';

export interface Drafts {
  readonly sections: readonly Section[];
  /** By name; of several with one name the first. */
  readonly apps: ReadonlyMap<string, AppDraft>;
  readonly frontends: readonly FrontendDraft[];
  readonly backends: ReadonlyMap<string, BackendDraft>;
}

type Report = (diagnostic: Diagnostic) => void;

/** Reports the sections of one kind that have a name twice; a `listen` section is a frontend and a backend. */
export function checkNames(sections: readonly Section[], report: Report): void {
  const refused = new Set<Section>();
  for (const kind of ['app', 'frontend', 'backend', 'userlist', 'resolvers', 'http-errors'] as const) {
    const seen = new Map<string, Section>();
    for (const section of sections) {
      const counts = section.kind === kind || (section.kind === 'listen' && (kind === 'frontend' || kind === 'backend'));
      if (!counts || refused.has(section)) continue;
      const earlier = seen.get(section.name);
      if (earlier === undefined) {
        seen.set(section.name, section);
        continue;
      }
      refused.add(section);
      const message = `${section.kind} '${section.name}' has the same name as ${earlier.kind} '${earlier.name}' declared at ${describePosition(earlier.position)}`;
      report({level: 'alert', position: section.position, word: section.name, message});
    }
  }
}

/** Reports references to what is not there, and combinations that cannot work. */
export function checkDrafts(drafts: Drafts, report: Report): void {
  checkBinds(drafts.frontends, report);
  checkReferences(drafts, report);
  for (const frontend of drafts.frontends) checkFrontend(frontend, report);
  checkModes(drafts, report);
  const users = checkUses(drafts, report);
  for (const [name, backend] of drafts.backends) checkBackend(backend, users.get(name) ?? [], drafts, report);
  checkTimeouts(drafts, users, report);
}

function checkBinds(frontends: readonly FrontendDraft[], report: Report): void {
  const seen = new Map<string, Position>();
  for (const {value} of frontends) {
    for (const {protocol, host, port, unix, inheritedFd, position} of value.binds) {
      const shown = unix === null ? (inheritedFd === null ? `${host.includes(':') ? `[${host}]` : host || '*'}:${port}` : `fd@${inheritedFd}`) : unix.path;
      const key = unix === null && inheritedFd === null ? `${protocol} ${canonicalHost(host)} ${port}` : `${unix?.abstract ?? ''} ${shown}`;
      const earlier = seen.get(key);
      if (earlier === undefined) {
        seen.set(key, position);
        continue;
      }
      report({level: 'alert', position, word: shown, message: `${protocol} ${shown} is already bound at ${describePosition(earlier)}`});
    }
  }
}

/** @returns the frontends that lead to each backend */
function checkUses({frontends, backends}: Drafts, report: Report): ReadonlyMap<string, readonly FrontendDraft[]> {
  const users = new Map<string, FrontendDraft[]>();
  const use = (frontend: FrontendDraft, name: string, position: Position, rule: string): void => {
    const backend = backends.get(name);
    if (backend === undefined) {
      // What `use_backend` names is checked with all other references.
      if (rule === 'default_backend') report({level: 'alert', position, word: name, message: `unknown backend '${name}'${didYouMean(name, backends.keys())}`});
      return;
    }
    const using = users.get(name);
    if (using === undefined) users.set(name, [frontend]);
    else if (!using.includes(frontend)) using.push(frontend);
    const message = incompatible(frontend.value, backend, rule);
    if (message !== null) report({level: 'alert', position, word: name, message});
  };
  for (const frontend of frontends) {
    const {defaultBackend, useBackends, name} = frontend.value;
    // As HAProxy says: a listen section is its own backend, and cannot be that of a frontend of its name.
    if (frontend.section.kind === 'listen' && own(frontend.section, 'default_backend')?.value.text === name) {
      report({level: 'alert', position: frontend.backendPosition, word: name, message: `loop detected for default_backend: '${name}'`});
    }
    if (defaultBackend !== '') use(frontend, defaultBackend, frontend.backendPosition, 'default_backend');
    for (const {action, position} of useBackends) if (action.backend.kind === 'name') use(frontend, action.backend.name, position, 'use_backend');
  }
  return users;
}

/** @returns what is wrong when clients of one mode come to servers of another; bytes may become requests, not the other way round */
function incompatible(frontend: FrontendConfig, backend: BackendDraft, rule: string): string | null {
  const {mode} = frontend;
  const said = backend.ownMode;
  const backendMode = backend.value.mode;
  const together =
    mode === 'tcp' ? said !== 'udp' && said !== 'nat' && said !== 'dns' : mode === 'http' ? backendMode === 'http' : said === null || said === mode;
  if (together) return null;
  return `${mode} frontend '${frontend.name}' tries to use incompatible ${backendMode} backend '${backend.value.name}' in '${rule}' (see 'mode')`;
}

function checkBackend(backend: BackendDraft, users: readonly FrontendDraft[], {apps, backends}: Drafts, report: Report): void {
  const {value, section} = backend;
  if (value.servers.length === 0 && users.length > 0 && !hasOtherAnswers(section)) {
    report({
      level: 'warning',
      position: section.position,
      word: value.name,
      message: `${section.kind} '${value.name}' has no 'server', its clients are refused`,
    });
  }
  for (const index of value.servers.keys()) checkApp(backend, index, users, apps, report);
  for (const server of value.servers) checkTracking(server, backend, backends, report);
  if (users.some((frontend) => frontend.value.mode === 'nat')) checkNatBackend(backend, report);
  if (value.servers.length > 1 && section.settings.some(({name}) => name === 'dispatch')) {
    report({
      level: 'alert',
      position: section.position,
      word: value.name,
      message: `${section.kind} '${value.name}' has 'dispatch' and 'server', only one is possible`,
    });
  }
}

/** The state of a server that nobody checks says nothing. */
function checkTracking({name, track, position}: ServerConfig, {value}: BackendDraft, backends: Drafts['backends'], report: Report): void {
  if (track === null) return;
  const [backendName = '', serverName = ''] = track.includes('/') ? track.split('/') : [value.name, track];
  const tracked = backends.get(backendName)?.value.servers.find((server) => server.name === serverName);
  if (tracked?.check !== null || tracked.agent !== null || tracked.track !== null) return;
  report({level: 'alert', position, word: track, message: `server '${name}' cannot track '${track}', which has neither 'check' nor 'agent-check'`});
}

const answering = ['http-request', 'redirect', 'errorfile', 'http-error', 'monitor-uri', 'tcp-request content', 'tcp-request connection'] as const;

/** Sections may answer by other means than servers, or were meant to by a line that was refused. */
function hasOtherAnswers({settings, failed}: Section): boolean {
  const others = ['use_backend', 'server', 'server-template', 'dispatch', 'stats', ...answering];
  return others.some((name) => failed.has(name)) || settings.some(({name}) => answering.some((known) => known === name) || name.startsWith('stats '));
}

/** A frontend that sends its clients nowhere. */
function checkFrontend({value, section}: FrontendDraft, report: Report): void {
  const leads = value.defaultBackend !== '' || value.useBackends.length > 0 || value.mode === 'dns';
  if (leads || section.failed.has('default_backend') || section.failed.has('default-backend') || hasOtherAnswers(section)) return;
  const level = value.mode === 'nat' || value.mode === 'udp' ? 'alert' : 'warning';
  report({level, position: section.position, word: value.name, message: `frontend '${value.name}' has no 'default_backend', its clients are refused`});
}

const httpOnly = ['http-request', 'http-response', 'http-after-response', 'redirect', 'cookie', 'stats', 'monitor-uri', 'compression'] as const;

/** HAProxy's warning: such lines do nothing in another mode. Those of defaults may be meant for others. */
function checkModes({sections}: Drafts, report: Report): void {
  for (const section of sections) {
    if (section.kind !== 'frontend' && section.kind !== 'backend' && section.kind !== 'listen') continue;
    const mode = effective(section, 'mode')?.value ?? 'tcp';
    if (mode === 'http') continue;
    for (const family of httpOnly) {
      const line = section.settings.find(({name}) => name === family || name.startsWith(`${family} `));
      if (line === undefined) continue;
      const message = `'${family}' is ignored for ${section.kind} '${section.name}', it needs 'mode http'`;
      report({level: 'warning', position: line.position, word: family, message});
    }
    const balance = own(section, 'balance');
    if (balance !== undefined && ['uri', 'url_param', 'hdr'].includes(balance.value.kind)) {
      const message = `'balance ${balance.value.kind}' needs 'mode http', roundrobin is used for ${section.kind} '${section.name}'`;
      report({level: 'warning', position: balance.position, word: 'balance', message});
    }
  }
}

function checkApp(backend: BackendDraft, index: number, users: readonly FrontendDraft[], apps: ReadonlyMap<string, AppDraft>, report: Report): void {
  const server = backend.value.servers[index];
  if (server?.target.kind !== 'app') return;
  const {app: name, port} = server.target;
  const position = backend.targetPositions[index] ?? server.position;
  const app = apps.get(name);
  if (app === undefined) {
    report({level: 'alert', position, word: name, message: `unknown app '${name}'${didYouMean(name, apps.keys())}`});
    return;
  }
  if (app.section.failed.has('expose')) return;
  // Those of the image are not known here.
  if (app.value.root.kind === 'image' && app.value.expose.length === 0) return;
  const exposes = (protocol: string): boolean => app.value.expose.some((exposed) => exposed.port === port && exposed.protocol === protocol);
  const wanted = new Set(users.flatMap((frontend) => frontend.value.binds.map(({protocol}) => protocol)));
  if (wanted.size === 0 && !exposes('udp')) wanted.add('tcp');
  for (const protocol of wanted) {
    if (exposes(protocol)) continue;
    const message = `port ${port} (${protocol}) of app '${name}' is not exposed; add 'expose ${protocol} ${port}' to the app at ${describePosition(app.value.position)}`;
    report({level: 'alert', position, word: String(port), message});
  }
}

/** The kernel forwards to one IPv4 address that is not its own loopback. */
function checkNatBackend({value, section, targetPositions}: BackendDraft, report: Report): void {
  const check = own(section, 'health-check');
  if (check !== undefined) {
    const message = "'health-check' is not possible in mode nat: its packets go through the kernel";
    report({level: 'alert', position: check.position, word: 'health-check', message});
  }
  const [first, second] = value.servers;
  if (first?.target.kind === 'address') {
    const {host} = first.target;
    const position = targetPositions[0] ?? first.position;
    if (!isIPv4(host)) report({level: 'alert', position, word: host, message: `mode nat needs a server with an IPv4 address, found '${host}'`});
    else if (host.startsWith('127.'))
      report({level: 'alert', position, word: host, message: `mode nat cannot forward to loopback ${host}, use mode tcp or udp`});
  }
  if (second !== undefined) {
    const message = `mode nat uses the first server of backend '${value.name}' only`;
    report({level: 'warning', position: second.position, word: second.name, message});
  }
}

/** HAProxy's warning. In mode nat the kernel knows no such timeouts. */
function checkTimeouts({frontends, backends}: Drafts, users: ReadonlyMap<string, readonly FrontendDraft[]>, report: Report): void {
  const warn = (kind: string, name: string, position: Position, missing: readonly TimeoutName[]): void => {
    if (missing.length === 0) return;
    const values = missing.map((timeout) => `'${timeout}' is ${keywords[timeout].absent ?? 'not limited'}`).join(', ');
    const message = `missing timeouts for ${kind} '${name}'.\n   | Until they are set, ${values}.`;
    report({level: 'warning', position, word: name, message});
  };
  const listens = new Set<Section>();
  for (const {value, section, missingTimeouts} of frontends) {
    if (value.mode === 'nat' || value.mode === 'dns') continue;
    const alsoBackend = section.kind === 'listen' ? [...backends.values()].find((backend) => backend.section === section) : undefined;
    if (alsoBackend !== undefined) listens.add(section);
    warn(section.kind, value.name, section.position, [...missingTimeouts, ...(alsoBackend?.missingTimeouts ?? [])]);
  }
  for (const {value, section, missingTimeouts} of backends.values()) {
    const using = users.get(value.name) ?? [];
    const onlyNat = using.length > 0 && using.every((frontend) => frontend.value.mode === 'nat');
    if (!onlyNat && !listens.has(section)) warn(section.kind, value.name, section.position, missingTimeouts);
  }
}
