/** What can be wrong only between sections. */

import {isIPv4} from 'node:net';
import {canonicalHost} from './address.ts';
import type {AppDraft} from './build-app.ts';
import {type BackendDraft, type FrontendDraft, hasOtherAnswers, type TimeoutName} from './build-proxy.ts';
import type {Diagnostic} from './diagnostic.ts';
import {keywords} from './keywords.ts';
import {describePosition, type Position} from './position.ts';
import type {Section} from './section.ts';
import {didYouMean} from './suggestion.ts';

export interface Drafts {
  /** By name; of several with one name the first. */
  readonly apps: ReadonlyMap<string, AppDraft>;
  readonly frontends: readonly FrontendDraft[];
  readonly backends: ReadonlyMap<string, BackendDraft>;
}

type Report = (diagnostic: Diagnostic) => void;

/** Reports the sections of one kind that have a name twice; a `listen` section is a frontend and a backend. */
export function checkNames(sections: readonly Section[], report: Report): void {
  const refused = new Set<Section>();
  for (const kind of ['app', 'frontend', 'backend'] as const) {
    const seen = new Map<string, Section>();
    for (const section of sections) {
      const counts = section.kind === kind || (section.kind === 'listen' && kind !== 'app');
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
  const users = checkReferences(drafts, report);
  for (const [name, backend] of drafts.backends) checkBackend(backend, users.get(name) ?? [], drafts.apps, report);
  checkTimeouts(drafts, users, report);
}

function checkBinds(frontends: readonly FrontendDraft[], report: Report): void {
  const seen = new Map<string, Position>();
  for (const {value} of frontends) {
    for (const {protocol, host, port, position} of value.binds) {
      const key = `${protocol} ${canonicalHost(host)} ${port}`;
      const earlier = seen.get(key);
      if (earlier === undefined) {
        seen.set(key, position);
        continue;
      }
      const shown = `${host.includes(':') ? `[${host}]` : host || '*'}:${port}`;
      report({level: 'alert', position, word: shown, message: `${protocol} ${shown} is already bound at ${describePosition(earlier)}`});
    }
  }
}

/** @returns the frontends that lead to each backend */
function checkReferences({frontends, backends}: Drafts, report: Report): ReadonlyMap<string, readonly FrontendDraft[]> {
  const users = new Map<string, FrontendDraft[]>();
  for (const frontend of frontends) {
    const {defaultBackend, mode, name} = frontend.value;
    if (defaultBackend === '') continue;
    const backend = backends.get(defaultBackend);
    const position = frontend.backendPosition;
    if (backend === undefined) {
      const message = `unknown backend '${defaultBackend}'${didYouMean(defaultBackend, backends.keys())}`;
      report({level: 'alert', position, word: defaultBackend, message});
      continue;
    }
    const using = users.get(defaultBackend);
    if (using === undefined) users.set(defaultBackend, [frontend]);
    else using.push(frontend);
    if (backend.ownMode !== null && backend.ownMode !== mode) {
      const message = `frontend '${name}' is in mode ${mode}, its backend '${defaultBackend}' in mode ${backend.ownMode}`;
      report({level: 'alert', position, word: defaultBackend, message});
    }
  }
  return users;
}

function checkBackend(backend: BackendDraft, users: readonly FrontendDraft[], apps: ReadonlyMap<string, AppDraft>, report: Report): void {
  const {value, section} = backend;
  if (value.servers.length === 0 && users.length > 0 && !hasOtherAnswers(section)) {
    report({level: 'alert', position: section.position, word: value.name, message: `${section.kind} '${value.name}' has no 'server'`});
  }
  for (const index of value.servers.keys()) checkApp(backend, index, users, apps, report);
  if (users.some((frontend) => frontend.value.mode === 'nat')) checkNatBackend(backend, report);
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
function checkNatBackend({value, targetPositions}: BackendDraft, report: Report): void {
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
    if (value.mode === 'nat') continue;
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
