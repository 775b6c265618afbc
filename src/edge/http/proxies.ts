/** Frontends and backends whose conditions, formats and rules are functions. Made once, when the gateway starts. */
import type {BackendConfig, CookiePersistence, FrontendConfig, ProxyBase} from '../../config/proxy-value.ts';
import type {StatsAction} from '../../config/rules.ts';
import {compileProbes, type ProbeRules} from '../probes/probe-rules.ts';
import type {SampleContext, SampleValue} from '../samples/context.ts';
import {compileStickRules, type StickEvaluator, type StickRules} from '../stick/stick-rules.ts';
import type {StickTable} from '../stick/stick-table.ts';
import type {Compilers} from './compilers.ts';
import {builtInReply, compileReply, type LocalReply, parseErrorFile, type ReplyMaker, reasonOf} from './reply.ts';
import {compileContentRules, compileRequestRules, type RequestRule} from './request-rules.ts';
import {compileResponseContentRules, compileResponseRules, type ResponseContentRule, type ResponseRule} from './response-rules.ts';
import {compileWaitPage, type WaitPage} from './wait-page.ts';

interface Proxy {
  readonly contentRules: readonly RequestRule[];
  readonly requestRules: readonly RequestRule[];
  readonly responseRules: readonly ResponseRule[];
  readonly afterResponseRules: readonly ResponseRule[];
  /** Null: no request is a health check. */
  readonly probes: ProbeRules | null;
  /** `stats admin`: whoever one of them holds for may change things there. */
  readonly statsAdmins: readonly ((context: SampleContext) => boolean)[];
  /** `stats http-request`, by who may see the page. */
  readonly statsRules: readonly {readonly holds: ((context: SampleContext) => boolean) | null; readonly action: StatsAction}[];
  /** Pages that the proxy has instead of HAProxy's. */
  readonly errorPages: ReadonlyMap<number, LocalReply>;
  /** Those that are made for each request: `http-error`. */
  readonly errorReplies: ReadonlyMap<number, ReplyMaker>;
}

/** Null: its condition does not hold. */
type NameRule = (context: SampleContext) => string | null;

export interface HttpFrontendProxy extends Proxy {
  readonly config: FrontendConfig;
  readonly useBackends: readonly NameRule[];
  readonly monitorFails: readonly ((context: SampleContext) => boolean)[];
  readonly uniqueId: {readonly make: (context: SampleContext) => string; readonly header: string | null} | null;
  /** Slots that are filled from fields by themselves. */
  readonly captures: readonly {readonly slot: number; readonly header: string; readonly length: number; readonly of: 'request' | 'response'}[];
}

export interface HttpBackendProxy extends Proxy {
  readonly responseContentRules: readonly ResponseContentRule[];
  readonly config: BackendConfig;
  readonly useServers: readonly NameRule[];
  readonly cookie: CookiePersistence | null;
  /** `stick` rules; null: there are none. */
  readonly stick: StickRules | null;
  /** Null: browsers are held as all other clients are. */
  readonly waitPage: WaitPage | null;
  /** What `balance hash` hashes; null: another algorithm. */
  readonly balanceSample: ((context: SampleContext) => SampleValue) | null;
}

export interface ProxyParts {
  readonly compilers: Compilers;
  readonly readFile: (path: string) => Buffer;
  readonly tableOf: (name: string) => StickTable | null;
}

function compileProxy(config: ProxyBase, {compilers, readFile, tableOf}: ProxyParts): Proxy {
  const errorPages = new Map<number, LocalReply>();
  for (const [status, path] of Object.entries(config.errorFiles)) errorPages.set(Number(status), parseErrorFile(path, readFile(path), Number(status)));
  for (const [status, {code, url}] of Object.entries(config.errorLocations)) {
    errorPages.set(Number(status), {
      status: code,
      reason: reasonOf(code),
      headers: [
        ['cache-control', 'no-cache'],
        ['location', url],
      ],
      body: Buffer.alloc(0),
    });
  }
  const ruleParts = {compilers, readFile, realm: config.name, tableOf: (table: string | null) => tableOf(table ?? config.name)};
  return {
    contentRules: compileContentRules(config.tcp.content, ruleParts),
    requestRules: compileRequestRules(config.http.request, ruleParts),
    responseRules: compileResponseRules(config.http.response, {compilers, readFile}),
    afterResponseRules: compileResponseRules(config.http.afterResponse, {compilers, readFile}),
    statsAdmins: (config.stats?.admin ?? []).map((condition) => compilers.condition(condition)),
    statsRules: (config.stats?.rules ?? []).map(({action, condition}) => ({action, holds: condition === null ? null : compilers.condition(condition)})),
    probes: compileProbes(config.probes, (condition) => compilers.condition(condition)),
    errorPages,
    errorReplies: new Map(Object.entries(config.errorReplies).map(([status, action]) => [Number(status), compileReply(action, compilers, readFile)])),
  };
}

interface Named {
  readonly condition: Parameters<Compilers['condition']>[0] | null;
}

function compileNameRule(
  rule: Named,
  name: {readonly kind: 'name'; readonly name: string} | {readonly kind: 'format'; readonly format: Parameters<Compilers['format']>[0]},
  compilers: Compilers,
): NameRule {
  const holds = rule.condition === null ? null : compilers.condition(rule.condition);
  const make = name.kind === 'name' ? () => name.name : compilers.format(name.format, 'value');
  return (context) => (holds === null || holds(context) ? make(context) : null);
}

/** @throws CodedError ERR_BAD_ERROR_FILE, and what reading files and compiling throws */
export function compileFrontend(config: FrontendConfig, parts: ProxyParts): HttpFrontendProxy {
  const {compilers} = parts;
  return {
    config,
    ...compileProxy(config, parts),
    useBackends: config.useBackends.map((rule) => compileNameRule(rule, rule.action.backend, compilers)),
    monitorFails: config.monitorFail.map((condition) => compilers.condition(condition)),
    uniqueId:
      config.uniqueId === null ? null : {make: compilers.format(config.uniqueId.format, 'value'), header: config.uniqueId.header?.toLowerCase() ?? null},
    captures: config.captures.flatMap(({header, length, of}, slot) => (header === null ? [] : [{slot, header: header.toLowerCase(), length, of}])),
  };
}

/** @throws CodedError ERR_BAD_ERROR_FILE, and what reading files and compiling throws */
export function compileBackend(config: BackendConfig, parts: ProxyParts): HttpBackendProxy {
  return {
    config,
    ...compileProxy(config, parts),
    responseContentRules: compileResponseContentRules(config.tcp.response, parts.compilers),
    useServers: config.useServers.map((rule) => compileNameRule(rule, rule.action.server, parts.compilers)),
    cookie: config.cookie,
    stick: compileStick(config, parts),
    waitPage: compileWaitPage(config.waitPage, parts.readFile),
    balanceSample: config.balance.kind === 'hash' ? parts.compilers.expression(config.balance.expression) : null,
  };
}

function compileStick({name, stickRules}: BackendConfig, {compilers, tableOf}: ProxyParts): StickRules | null {
  if (stickRules.length === 0) return null;
  const evaluator: StickEvaluator = {
    compileCondition: (condition) => compilers.condition(condition),
    compileExpression: (expression) => compilers.expression(expression),
  };
  return compileStickRules(stickRules, (table) => tableOf(table ?? name), evaluator);
}

/** The first name that a rule yields, or `''`. */
export function firstName(rules: readonly NameRule[], context: SampleContext): string {
  for (const rule of rules) {
    const name = rule(context);
    if (name !== null) return name;
  }
  return '';
}

/** The page of the backend, else of the frontend, else HAProxy's. */
export function errorPage(
  status: number,
  {frontend, backend}: {readonly frontend: HttpFrontendProxy; readonly backend: HttpBackendProxy | null},
  context: SampleContext,
): LocalReply {
  for (const proxy of [backend, frontend]) {
    const page = proxy?.errorPages.get(status) ?? proxy?.errorReplies.get(status)?.(context, builtInReply);
    if (page !== undefined) return page;
  }
  return builtInReply(status);
}
