/**
 * Variables of rules, by scope: `proc` lives as long as the process, `sess` as the connection, `txn` as a request with its answer, `req` and
 * `res` as their half of it, `check` as a health check. HAProxy's manual, section 7.3.1, `set-var`.
 */
import {isVariableName, type VariableScope} from '../../config/expression/variable-name.ts';
import {CodedError} from '../../core/errors.ts';
import type {SampleValue, Variables} from './context.ts';

/** @returns the name. @throws CodedError ERR_VARIABLE when it has no scope, or letters that names have not */
export function checkVariableName(name: string): string {
  if (isVariableName(name)) return name;
  const found = 'it begins with proc., sess., txn., req., res. or check., followed by letters, digits, "_" and "."';
  throw new CodedError('ERR_VARIABLE', `Cannot use variable "${name}": a name is such that ${found}`, {source: 'host'});
}

/** What a variable costs besides its value, as HAProxy counts it, about. */
const bytesPerVariable = 64;

export interface ScopedVariables extends Variables {
  /** Forgets all of a scope: a request, or its answer, is over. */
  clear(scope: Exclude<VariableScope, 'proc'>): void;
  /** Variables for the next request of the same connection: `proc` and `sess` are shared, the others are new. */
  forRequest(): ScopedVariables;
}

interface Budget {
  left: number;
}

type Values = Map<string, SampleValue>;

interface Scope {
  readonly values: Values;
  readonly budget: Budget;
}

/**
 * The variables of one connection. A value that does not fit into what is left is not kept, and the variable has none then, as with HAProxy's
 * `tune.vars.sess-max-size`.
 * @param processVariables those of `proc`, from `createProcessVariables`
 * @param maxBytes for `sess`, and as much for the other scopes of each request; default 64 KiB
 */
export function createVariables(processVariables: Variables, maxBytes = 65_536): ScopedVariables {
  return scoped(processVariables, {values: new Map(), budget: {left: maxBytes}}, maxBytes);
}

/** The variables of one health check, which has a session of its own but no request. @param processVariables as for `createVariables` */
export function createCheckVariables(processVariables: Variables): Variables {
  const budget = {left: 65_536};
  const own = (): Scope => ({values: new Map(), budget});
  return byScope(processVariables, {proc: null, sess: own(), check: own(), txn: nowhere, req: nowhere, res: nowhere}, budget);
}

/** The variables of the process, which all connections share. @param maxBytes for all of them; default 1 MiB */
export function createProcessVariables(maxBytes = 1_048_576): Variables {
  const scope: Scope = {values: new Map(), budget: {left: maxBytes}};
  return {
    get: (name) => scope.values.get(name) ?? null,
    set: (name, value) => store(scope, name, value),
    unset: (name) => drop(scope, name),
  };
}

/** A scope that is not there: it never has any room. */
const nowhere: Scope = {values: new Map(), budget: {left: 0}};

type Scopes = Record<VariableScope, Scope | null>;

function scoped(processVariables: Variables, session: Scope, maxBytes: number): ScopedVariables {
  const budget = {left: maxBytes};
  // Most requests set no variable at all, so a scope costs nothing before it is used.
  const scopes: Scopes = {proc: null, sess: session, txn: null, req: null, res: null, check: nowhere};
  return {
    ...byScope(processVariables, scopes, budget),
    clear(which) {
      const scope = scopes[which];
      if (scope === null) return;
      for (const name of [...scope.values.keys()]) drop(scope, name);
    },
    forRequest: () => scoped(processVariables, session, maxBytes),
  };
}

function byScope(processVariables: Variables, scopes: Scopes, budget: Budget): Variables {
  const scopeOf = (name: string): Scope => {
    const scope = name.slice(0, name.indexOf('.')) as VariableScope;
    scopes[scope] ??= {values: new Map(), budget};
    return scopes[scope];
  };
  return {
    get: (name) => (name.startsWith('proc.') ? processVariables.get(name) : (scopeOf(name).values.get(name) ?? null)),
    set: (name, value) => (name.startsWith('proc.') ? processVariables.set(name, value) : store(scopeOf(name), name, value)),
    unset(name) {
      if (name.startsWith('proc.')) processVariables.unset(name);
      else drop(scopeOf(name), name);
    },
  };
}

function store(scope: Scope, name: string, value: SampleValue): boolean {
  drop(scope, name);
  if (value === null) return false;
  const bytes = sizeOf(value);
  if (bytes > scope.budget.left) return false;
  scope.budget.left -= bytes;
  scope.values.set(name, value);
  return true;
}

function drop({values, budget}: Scope, name: string): void {
  const known = values.get(name);
  if (known === undefined || known === null) return;
  budget.left += sizeOf(known);
  values.delete(name);
}

function sizeOf(value: NonNullable<SampleValue>): number {
  const content = typeof value.value === 'string' || value.type === 'bin' ? value.value.length : 8;
  return bytesPerVariable + content;
}
