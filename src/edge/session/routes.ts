/** Where a session goes: `use_backend`, `default_backend`, `use-server`, and what persistence and balance need to know of it. */
import type {BackendConfig, FrontendConfig} from '../../config/proxy-value.ts';
import type {Rule, UseBackend, UseServer} from '../../config/rules.ts';
import type {AssignedServer} from '../pool/assignment.ts';
import type {Pool} from '../pool/pool.ts';
import type {Pools} from '../pool/pools.ts';
import {compileProbes, type ProbeRules} from '../probes/probe-rules.ts';
import type {SampleCompiler} from '../samples/compile.ts';
import type {SampleContext, SampleValue} from '../samples/context.ts';
import {compileStickRules, type PendingStores} from '../stick/stick-rules.ts';
import type {StickTables} from '../stick/stick-tables.ts';
import {type ConnectionRule, compileConnectionRules} from './connection-rules.ts';

export interface RouteParts {
  readonly compiler: SampleCompiler;
  readonly pools: Pools;
  readonly tables: StickTables;
}

/** A backend as sessions of streams use it. */
export interface BackendRoute {
  readonly pool: Pool;
  readonly contentRules: readonly ConnectionRule[];
  readonly inspectDelayMs: number | null;
  readonly responseRules: readonly ConnectionRule[];
  /** Null: none of its connections is a health check. */
  readonly probes: ProbeRules | null;
  /** True: nothing about a session has to be known but its source. */
  readonly isPlain: boolean;
  preferred(context: SampleContext): Preference;
  /** As much of the server's answer is known as its rules have waited for, and they have not refused it: whoever comes next with the same key gets it too. */
  answered(context: SampleContext, server: AssignedServer, pending: PendingStores | null): void;
}

export interface Preference {
  /** Names of servers, the first one that can be used is taken. */
  readonly servers: readonly string[];
  /** For `balance hash`. */
  readonly sample: SampleValue;
  /** To be told when the server has answered. */
  readonly pending: PendingStores | null;
}

const noPreference: Preference = {servers: [], sample: null, pending: null};

export type RouteOf = (backend: string) => BackendRoute | null;

/** @throws CodedError of the compiler */
export function compileRoutes(backends: readonly BackendConfig[], parts: RouteParts): RouteOf {
  const routes = new Map<string, BackendRoute>();
  for (const backend of backends) {
    const pool = parts.pools.get(backend.name);
    if (pool !== null) routes.set(backend.name, compileBackend(backend, pool, parts));
  }
  return (name) => routes.get(name) ?? null;
}

function compileBackend(backend: BackendConfig, pool: Pool, {compiler, tables}: RouteParts): BackendRoute {
  const {name, balance, useServers, stickRules, tcp} = backend;
  const tableOf = (table: string | null): ReturnType<StickTables['get']> => tables.get(table ?? name);
  const contentRules = compileConnectionRules(tcp.content, {compiler, tableOf, of: 'session'});
  const responseRules = compileConnectionRules(tcp.response, {compiler, tableOf, of: 'session'});
  const named = useServers.map((rule) => compileName(rule, rule.action.server, compiler));
  const stick = stickRules.length === 0 ? null : compileStickRules(stickRules, tableOf, compiler);
  const sampleOf = balance.kind === 'hash' ? compiler.compileExpression(balance.expression) : null;
  const isPlain = named.length === 0 && stick === null && sampleOf === null;
  return {
    pool,
    contentRules,
    inspectDelayMs: tcp.inspectDelayMs,
    responseRules,
    probes: compileProbes(backend.probes, (condition) => compiler.compileCondition(condition)),
    isPlain: isPlain && contentRules.length === 0,
    preferred(context) {
      if (isPlain) return noPreference;
      const servers: string[] = [];
      for (const nameOf of named) {
        const server = nameOf(context);
        if (server === null) continue;
        servers.push(server);
        break;
      }
      const pending = stick?.request(context) ?? null;
      const stuck = pending === null ? undefined : pool.servers.find(({id}) => id === pending.serverId);
      if (stuck !== undefined) servers.push(stuck.name);
      return {servers, sample: sampleOf?.(context) ?? null, pending};
    },
    answered: (context, server, pending) => {
      if (server.config.nonStick) return;
      if (pending !== null) stick?.stored(pending, server.id);
      stick?.response(context, server.id);
    },
  };
}

type NameOf = (context: SampleContext) => string | null;

function compileName({condition}: Rule<UseBackend | UseServer>, name: UseBackend['backend'], compiler: SampleCompiler): NameOf {
  const holds = condition === null ? null : compiler.compileCondition(condition);
  const make = name.kind === 'name' ? () => name.name : compiler.compileFormat(name.format, 'value');
  return (context) => (holds === null || holds(context) ? make(context) : null);
}

/**
 * Null: no backend. A condition that needs bytes which have not come does not hold: what waits for them is `inspect-delay`.
 * @throws CodedError of the compiler
 */
export function compileBackendChoice(
  {useBackends, defaultBackend}: FrontendConfig,
  compiler: SampleCompiler,
  routeOf: RouteOf,
): (context: () => SampleContext) => BackendRoute | null {
  const named = useBackends.map((rule) => compileName(rule, rule.action.backend, compiler));
  const byDefault = routeOf(defaultBackend);
  if (named.length === 0) return () => byDefault;
  return (context) => {
    for (const nameOf of named) {
      const name = nameOf(context());
      // A name that is made of a request may be of no backend; no other rule decides then, as in HAProxy.
      if (name !== null) return routeOf(name) ?? byDefault;
    }
    return byDefault;
  };
}
