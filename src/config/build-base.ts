/** What frontends and backends have in common. A `listen` section is one of each; what must happen once is on its frontend. */
import {buildProbes} from './build-probes.ts';
import {type ErrorPageSources, withPage, withPages} from './error-pages.ts';
import {bareBackend} from './proxy-defaults.ts';
import type {Compression, LogTarget, ProxyBase, StatsPage} from './proxy-value.ts';
import type {Rule} from './rules.ts';
import {effective, inherited, inOrder, own, type Section} from './section.ts';
import type {GlobalConfig} from './value.ts';

export type Role = 'frontend' | 'backend';

export interface BuildContext extends ErrorPageSources {
  readonly global: GlobalConfig;
}

export function buildBase(section: Section, role: Role, context: BuildContext): ProxyBase {
  const bare = bareBackend(section);
  const time = (name: 'timeout http-request' | 'timeout http-keep-alive' | 'timeout tunnel' | 'timeout tarpit'): number | null =>
    effective(section, name)?.value ?? null;
  const mode = effective(section, 'mode')?.value ?? bare.mode;
  return {
    name: section.name,
    position: section.position,
    mode,
    disabled: isDisabled(section),
    description: own(section, 'description')?.value ?? null,
    tcp: tcpRules(section, role),
    http: httpRules(section, role, context),
    httpRequestTimeoutMs: time('timeout http-request'),
    keepAliveTimeoutMs: time('timeout http-keep-alive'),
    tunnelTimeoutMs: time('timeout tunnel'),
    tarpitTimeoutMs: time('timeout tarpit'),
    connectionMode: connectionMode(section),
    buffersRequests: effective(section, 'option http-buffer-request')?.value ?? bare.buffersRequests,
    restrictedNames: effective(section, 'option http-restrict-req-hdr-names')?.value ?? bare.restrictedNames,
    forwardFor: effective(section, 'option forwardfor')?.value ?? null,
    originalTo: effective(section, 'option originalto')?.value ?? null,
    ...errorPages(section, context),
    compression: compression(section),
    stats: section.kind === 'listen' && role === 'backend' ? null : statsPage(section, context),
    probes: section.kind === 'listen' && role === 'backend' ? null : buildProbes(section, mode, context.report),
    stickTable: own(section, 'stick-table')?.value ?? null,
    logs: logTargets(section, context.global),
    logTag: effective(section, 'log-tag')?.value ?? null,
  };
}

/** The last of the two words counts. */
function isDisabled(section: Section): boolean {
  return inOrder(section, ['disabled', 'enabled']).at(-1)?.name === 'disabled';
}

/** Lines without effect left nothing behind. */
export function present<Action>(settings: readonly {readonly value: Rule<Action> | null}[]): readonly Rule<Action>[] {
  return settings.flatMap(({value}) => (value === null ? [] : [value]));
}

function tcpRules(section: Section, role: Role): ProxyBase['tcp'] {
  const elsewhere = section.kind === 'listen' && role === 'backend';
  return {
    connection: role === 'frontend' ? present(inherited(section, 'tcp-request connection')) : [],
    session: role === 'frontend' ? present(inherited(section, 'tcp-request session')) : [],
    content: elsewhere ? [] : present(inherited(section, 'tcp-request content')),
    response: role === 'backend' ? present(inherited(section, 'tcp-response content')) : [],
    inspectDelayMs: elsewhere ? null : nullIfZero(effective(section, 'tcp-request inspect-delay')?.value),
    responseDelayMs: role === 'backend' ? nullIfZero(effective(section, 'tcp-response inspect-delay')?.value) : null,
  };
}

/** HAProxy says 0 for not at all. */
export function nullIfZero(value: number | undefined): number | null {
  return value === undefined || value === 0 ? null : value;
}

function httpRules(section: Section, role: Role, context: BuildContext): ProxyBase['http'] {
  if (section.kind === 'listen' && role === 'backend') return {request: [], response: [], afterResponse: []};
  return {
    // `redirect` lines come after all `http-request` lines.
    request: [...withPages(present(inherited(section, 'http-request')), context), ...inherited(section, 'redirect').map(({value}) => value)],
    response: withPages(present(inherited(section, 'http-response')), context),
    afterResponse: present(inherited(section, 'http-after-response')),
  };
}

const modes = {
  'option http-keep-alive': 'keep-alive',
  'option http-server-close': 'server-close',
  'option httpclose': 'close',
} as const;

/** Each option takes the place of the one before; `no` takes back its own only. */
function connectionMode(section: Section): ProxyBase['connectionMode'] {
  let mode: ProxyBase['connectionMode'] = 'keep-alive';
  for (const {name, value} of inOrder(section, ['option http-keep-alive', 'option http-server-close', 'option httpclose'])) {
    if (value) mode = modes[name];
    else if (mode === modes[name]) mode = 'keep-alive';
  }
  return mode;
}

type ErrorPages = Pick<ProxyBase, 'errorFiles' | 'errorLocations' | 'errorReplies'>;

/** Of several lines for a status the last one counts. */
function errorPages(section: Section, context: BuildContext): ErrorPages {
  const files = new Map<number, string>();
  const locations = new Map<number, ErrorPages['errorLocations'][number]>();
  const replies = new Map<number, ErrorPages['errorReplies'][number]>();
  const replace = (status: number): void => {
    for (const pages of [files, locations, replies]) pages.delete(status);
  };
  for (const setting of inOrder(section, ['errorfile', 'errorfiles', 'errorloc', 'errorloc302', 'errorloc303', 'http-error'])) {
    switch (setting.name) {
      case 'errorfile':
        replace(setting.value.status);
        files.set(setting.value.status, setting.value.path);
        break;
      case 'errorfiles':
        for (const [status, path] of context.errorPages.get(setting.value.section.text) ?? []) {
          if (setting.value.statuses.length > 0 && !setting.value.statuses.includes(status)) continue;
          replace(status);
          files.set(status, path);
        }
        break;
      case 'http-error':
        replace(setting.value.status);
        replies.set(setting.value.status, withPage(setting.value, context));
        break;
      default:
        replace(setting.value.status);
        locations.set(setting.value.status, {code: setting.name === 'errorloc303' ? 303 : 302, url: setting.value.url});
    }
  }
  return {errorFiles: Object.fromEntries(files), errorLocations: Object.fromEntries(locations), errorReplies: Object.fromEntries(replies)};
}

function compression(section: Section): Compression | null {
  const algorithms = effective(section, 'compression algo')?.value;
  if (algorithms === undefined) return null;
  const ownTypes = inherited(section, 'compression type').flatMap(({value}) => value);
  return {
    algorithms,
    types: [...new Set(ownTypes)],
    minBytes: effective(section, 'compression minsize-res')?.value ?? 0,
    offload: effective(section, 'compression offload') !== undefined,
  };
}

function logTargets(section: Section, {process}: GlobalConfig): readonly LogTarget[] {
  const targets = new Set<LogTarget>();
  for (const {value} of inherited(section, 'log')) {
    if (value.kind === 'none') targets.clear();
    else if (value.kind === 'global') for (const target of process.logs) targets.add(target);
    else targets.add(value.target);
  }
  return [...targets];
}

const statsNames = [
  'stats enable',
  'stats uri',
  'stats realm',
  'stats auth',
  'stats http-request',
  'stats refresh',
  'stats hide-version',
  'stats show-node',
  'stats show-desc',
  'stats show-legends',
  'stats show-modules',
  'stats admin',
  'stats scope',
] as const;

/** Any line about it asks for the page. */
function statsPage(section: Section, {global: {process}, report}: BuildContext): StatsPage | null {
  if (inOrder(section, statsNames).length === 0) return null;
  const rules = inherited(section, 'stats http-request');
  const [users] = inOrder(section, ['stats auth', 'stats realm']);
  if (rules[0] !== undefined && users !== undefined) {
    const message = `'${users.name}' and 'stats http-request' cannot be used at the same time in ${section.kind} '${section.name}'`;
    report({level: 'alert', position: rules[0].position, word: 'http-request', message});
  }
  const node = effective(section, 'stats show-node')?.value;
  const description = effective(section, 'stats show-desc')?.value;
  return {
    uri: effective(section, 'stats uri')?.value ?? '/haproxy?stats',
    realm: effective(section, 'stats realm')?.value ?? null,
    users: inherited(section, 'stats auth').map(({value}) => value),
    rules: rules.map(({value}) => value),
    refreshSeconds: effective(section, 'stats refresh')?.value ?? null,
    hideVersion: effective(section, 'stats hide-version') !== undefined,
    showNode: node === undefined ? null : node || (process.node ?? ''),
    showDescription: description === undefined ? null : description || (process.description ?? ''),
    showLegends: effective(section, 'stats show-legends') !== undefined,
    admin: inherited(section, 'stats admin').map(({value}) => value),
    scopes: inherited(section, 'stats scope').map(({value}) => (value.text === '.' ? section.name : value.text)),
  };
}
