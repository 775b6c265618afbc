/**
 * Which frontends can be served by all threads (`nbthread`). Threads share no memory: what counts or remembers for all of them together is
 * right only where one thread does it, so a frontend that needs such a thing stays with the first one.
 */
import type {Diagnostic} from './diagnostic.ts';
import type {BackendConfig, FrontendConfig, ServerConfig} from './proxy-value.ts';
import type {SampleCall} from './sample.ts';
import type {Config} from './value.ts';

type Spreadable = Pick<Config, 'global' | 'apps' | 'frontends' | 'backends'>;

export interface Kept {
  readonly frontend: FrontendConfig;
  /** For people: `server 'b/s' has 'maxconn'`. */
  readonly reason: string;
}

export interface Spread {
  /** By name. */
  readonly spread: ReadonlySet<string>;
  /** Those of modes tcp and http that are not. */
  readonly kept: readonly Kept[];
}

const loads: ReadonlySet<string> = new Set([
  'be_conn',
  'be_sess_rate',
  'queue',
  'avg_queue',
  'fe_conn',
  'fe_sess_rate',
  'srv_conn',
  'srv_queue',
  'srv_sess_rate',
] as const);
const tableWords = /^(?:sc\d?_|src_(?!port$)|table_|in_table$)/;
const tableActions: ReadonlySet<unknown> = new Set(['track', 'count-tracked', 'tag-tracked']);
const patternActions: ReadonlySet<unknown> = new Set(['set-map', 'del-map', 'add-acl', 'del-acl']);
const variableActions: ReadonlySet<unknown> = new Set(['set-var', 'unset-var']);
const byLoad: ReadonlySet<BackendConfig['balance']['kind']> = new Set(['leastconn', 'first', 'random']);

/** What the frontends of modes tcp and http can do on several threads. With one thread nobody asks. */
export function spreadFrontends(config: Spreadable): Spread {
  const {frontends, backends, global} = config;
  const {threads} = global.process;
  if (threads === 1) return {spread: new Set(), kept: []};
  const ofAll = [...frontends, ...backends].map((proxy) => reasonForAll(proxy)).find((reason) => reason !== null) ?? null;
  const context: Context = {
    threads,
    limitedApps: new Set(config.apps.filter(({wakeRate}) => wakeRate !== null).map(({name}) => name)),
    global,
    known: new Map(),
  };
  const spread = new Set<string>();
  const kept: Kept[] = [];
  for (const frontend of frontends) {
    if ((frontend.mode !== 'tcp' && frontend.mode !== 'http') || frontend.disabled) continue;
    const reason = ofAll ?? reasonOf(frontend, context) ?? firstReason(backendsOf(frontend, backends), context);
    if (reason === null) spread.add(frontend.name);
    else kept.push({frontend, reason});
  }
  return {spread, kept};
}

/** Tells why frontends stay with the first thread. */
export function warnOfKept(config: Spreadable, report: (diagnostic: Diagnostic) => void): void {
  for (const {frontend, reason} of spreadFrontends(config).kept) {
    const message = `frontend '${frontend.name}' is served by the first of ${config.global.process.threads} threads only (nbthread): ${reason}`;
    report({level: 'warning', position: frontend.position, word: frontend.name, message});
  }
}

interface Context {
  readonly threads: number;
  /** Those with a `wake-rate` of their own. */
  readonly limitedApps: ReadonlySet<string>;
  readonly global: Config['global'];
  /** Many frontends may lead to one backend. */
  readonly known: Map<BackendConfig, string | null>;
}

function backendsOf({defaultBackend, useBackends}: FrontendConfig, backends: readonly BackendConfig[]): readonly BackendConfig[] {
  const names = new Set([defaultBackend]);
  for (const {action} of useBackends) {
    if (action.backend.kind === 'format') return backends;
    names.add(action.backend.name);
  }
  return backends.filter(({name}) => names.has(name));
}

function firstReason(backends: readonly BackendConfig[], context: Context): string | null {
  for (const backend of backends) {
    const known = context.known.get(backend);
    const reason = known === undefined ? reasonOfBackend(backend, context) : known;
    context.known.set(backend, reason);
    if (reason !== null) return reason;
  }
  return null;
}

/** What makes every thread's traffic count for every frontend. */
function reasonForAll(proxy: FrontendConfig | BackendConfig): string | null {
  for (const part of partsOf(proxy)) {
    const asked = callsOf(part).find(({name}) => loads.has(name));
    if (asked !== undefined) return `'${asked.name}' in '${proxy.name}' asks how many sessions there are`;
    const {kind} = part;
    if (patternActions.has(kind)) return `'${String(kind)}' in '${proxy.name}' changes what all threads look up`;
    if (variableActions.has(kind) && String(part['name']).startsWith('proc.')) return `'${String(kind)}' in '${proxy.name}' changes a variable of the process`;
  }
  return null;
}

function reasonOf(frontend: FrontendConfig, {threads}: Context): string | null {
  const {maxconn, sessionRateLimit, binds} = frontend;
  if (maxconn < threads || binds.some((bind) => (bind.maxconn ?? threads) < threads)) return "it has a 'maxconn' that is less than the number of threads";
  if (sessionRateLimit !== null) return "it has 'rate-limit sessions'";
  if (binds.some(({port, unix, inheritedFd}) => port === 0 && unix === null && inheritedFd === null)) return 'it listens on any free port';
  return reasonOfProxy(frontend);
}

function reasonOfBackend(backend: BackendConfig, context: Context): string | null {
  const {name, balance, stickRules, servers} = backend;
  if (stickRules.length > 0) return `backend '${name}' has 'stick' rules`;
  if (byLoad.has(balance.kind) && servers.length > 1) return `backend '${name}' has 'balance ${balance.kind}', which counts sessions`;
  for (const server of servers) {
    const reason = reasonOfServer(server, context);
    if (reason !== null) return `server '${name}/${server.name}' ${reason}`;
  }
  return reasonOfProxy(backend);
}

function reasonOfServer({target, maxconn, observe, check, agent}: ServerConfig, {limitedApps, global}: Context): string | null {
  if (maxconn !== null) return "has 'maxconn'";
  if (observe !== null && check !== null) return "has 'observe'";
  if (agent !== null) return "has 'agent-check'";
  if (target.kind !== 'app') return null;
  if (limitedApps.has(target.app) || global.wakeRatePerSource !== null) return "is an app, and there is a 'wake-rate'";
  return null;
}

function reasonOfProxy(proxy: FrontendConfig | BackendConfig): string | null {
  if (proxy.stickTable !== null) return `'${proxy.name}' has a 'stick-table'`;
  if (proxy.probes !== null) return `'${proxy.name}' has 'health-check'`;
  if (proxy.stats !== null) return `'${proxy.name}' shows statistics`;
  for (const part of partsOf(proxy)) {
    const asked = callsOf(part).find(({name}) => tableWords.test(name));
    if (asked !== undefined) return `'${asked.name}' in '${proxy.name}' asks a 'stick-table'`;
    if (tableActions.has(part['kind'])) return `a rule of '${proxy.name}' counts in a 'stick-table'`;
    if (part['kind'] === 'use-service') return `'${proxy.name}' shows statistics`;
  }
  return null;
}

type Part = Readonly<Record<string, unknown>>;

/** Every object that a value is made of. */
function* partsOf(value: unknown): Generator<Part> {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return;
  if (!Array.isArray(value)) yield value as Part;
  for (const part of Object.values(value)) yield* partsOf(part);
}

/** Of an expression: the fetch and the converters. */
function callsOf({fetch, converters}: Part): readonly SampleCall[] {
  return fetch === undefined || !Array.isArray(converters) ? [] : [fetch as SampleCall, ...(converters as readonly SampleCall[])];
}
