/** `tcp-request` and `tcp-response` rules as functions: what they do to a session, and what they decide about it (HAProxy's manual, `tcp-request`). */

import type {Rule, TcpRequestAction, TcpResponseAction} from '../../config/rules.ts';
import {CodedError} from '../../core/errors.ts';
import {compileChangeTracked} from '../samples/change-tracked.ts';
import type {SampleCompiler} from '../samples/compile.ts';
import type {SampleContext, SampleValue} from '../samples/context.ts';
import {compileVariableValue, variableSetter} from '../samples/set-variable.ts';
import {stickKey} from '../stick/stick-key.ts';
import type {StickTable} from '../stick/stick-table.ts';
import type {StickTables} from '../stick/stick-tables.ts';
import type {SessionContext} from './session-context.ts';

export type Verdict = 'accept' | 'reject' | 'silent-drop' | 'expect-proxy' | 'close';

export interface RuleParts {
  readonly compiler: SampleCompiler;
  /** The table that a rule of this proxy means: by its name, or its own. */
  readonly tableOf: (name: string | null) => StickTable | null;
  /** What addresses that rules set are those of. */
  readonly of: 'connection' | 'session';
}

/** Null: the next rule decides. */
type Action = (session: SessionContext) => Verdict | null;

export interface ConnectionRule {
  readonly holds: ((context: SampleContext) => boolean) | null;
  readonly act: Action;
}

/** @throws CodedError of the compiler; ERR_NO_TABLE */
export function compileConnectionRules(rules: readonly Rule<TcpRequestAction | TcpResponseAction>[], parts: RuleParts): readonly ConnectionRule[] {
  return rules.map(({action, condition}) => ({
    holds: condition === null ? null : parts.compiler.compileCondition(condition),
    act: compileAction(action, parts),
  }));
}

/** Of one proxy, whose own stick table is the one that its rules mean. @throws as `compileConnectionRules` */
export function proxyRules(
  proxy: string,
  {compiler, tables}: {readonly compiler: SampleCompiler; readonly tables: Pick<StickTables, 'get'>},
): (rules: Parameters<typeof compileConnectionRules>[0], of: RuleParts['of']) => readonly ConnectionRule[] {
  return (rules, of) => compileConnectionRules(rules, {compiler, tableOf: (name) => tables.get(name ?? proxy), of});
}

function compileAction(action: TcpRequestAction | TcpResponseAction, parts: RuleParts): Action {
  const {compiler} = parts;
  switch (action.kind) {
    case 'accept':
    case 'reject':
    case 'silent-drop':
    case 'close':
    case 'expect-proxy': {
      const verdict = action.kind;
      return () => verdict;
    }
    case 'set-var':
      return quietly(variableSetter(action, compileVariableValue(action.value, compiler)));
    case 'unset-var':
      return quietly((session) => session.variables.unset(action.name));
    case 'capture': {
      const sample = compiler.compileExpression(action.expression);
      return quietly((session) => {
        session.captures[action.id] = textOf(sample(session))?.slice(0, action.length) ?? null;
      });
    }
    case 'track':
      return compileTrack(action, parts);
    case 'count-tracked':
    case 'tag-tracked':
      return quietly(compileChangeTracked(action, (expression) => compiler.compileExpression(expression)));
    case 'set-src':
    case 'set-src-port':
    case 'set-dst':
    case 'set-dst-port':
      return compileSetAddress(action, parts);
    default:
      return action satisfies never;
  }
}

function quietly(act: (session: SessionContext) => void): Action {
  return (session) => {
    act(session);
    return null;
  };
}

function compileTrack({counter, key, table: name}: Extract<TcpRequestAction, {kind: 'track'}>, {compiler, tableOf}: RuleParts): Action {
  const table = tableOf(name);
  if (table === null) throw new CodedError('ERR_NO_TABLE', `Cannot track ${key.text}: there is no table "${name ?? ''}"`, {source: 'client'});
  const sample = compiler.compileExpression(key);
  return quietly((session) => {
    const text = stickKey(table.config, sample(session));
    if (text !== null) session.tracking.track(counter, {table, key: text, of: 'connection'});
  });
}

type SetAddress = Extract<TcpRequestAction, {kind: 'set-src' | 'set-src-port' | 'set-dst' | 'set-dst-port'}>;

/** What is no address or port changes nothing. */
function compileSetAddress({kind, expression}: SetAddress, {compiler, of}: RuleParts): Action {
  const sample = compiler.compileExpression(expression);
  const which = kind === 'set-src' || kind === 'set-src-port' ? 'source' : 'destination';
  const isPort = kind === 'set-src-port' || kind === 'set-dst-port';
  return quietly((session) => {
    const value = sample(session);
    const {connection} = session;
    if (of === 'session') connection.received ??= {source: connection.source, destination: connection.destination};
    if (isPort && value?.type === 'int' && value.value >= 0 && value.value <= 65_535) connection[which] = {...connection[which], port: value.value};
    if (!isPort && value?.type === 'ip') connection[which] = {...connection[which], host: value.value};
  });
}

function textOf(value: SampleValue): string | null {
  if (value === null) return null;
  return value.type === 'bin' ? Buffer.from(value.value).toString('latin1') : String(value.value);
}

/** `accept` at their end. Where one cannot be decided yet the caller comes again, and all are carried out anew, as in HAProxy. */
export function runRules(rules: readonly ConnectionRule[], session: SessionContext): Verdict | 'undecided' {
  for (const {holds, act} of rules) {
    if (holds !== null) {
      const isTrue = holds(session);
      if (session.undecided) return 'undecided';
      if (!isTrue) continue;
    }
    const verdict = act(session);
    if (verdict !== null) return verdict;
  }
  return 'accept';
}
