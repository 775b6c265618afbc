/** `http-request` rules and, for each request, `tcp-request content` rules, made functions, and carried out in order. */

import type {HttpRequestAction, Rule, TcpRequestAction} from '../../config/rules.ts';
import {assert, CodedError} from '../../core/errors.ts';
import {compileChangeTracked} from '../samples/change-tracked.ts';
import {stickKey} from '../stick/stick-key.ts';
import type {StickTable} from '../stick/stick-table.ts';
import type {Compilers} from './compilers.ts';
import {compileEarlyHint, type EarlyHints, thenHint} from './early-hints.ts';
import {compileHeaderAction} from './header-actions.ts';
import {compileChangePatterns} from './pattern-actions.ts';
import {compileRedirect} from './redirect.ts';
import {compileReply, type LocalReply} from './reply.ts';
import type {RuleSubject} from './rule-subject.ts';
import {compileUriAction} from './uri-actions.ts';
import {compileCapture, compileSetAddress, compileSetVariable} from './variable-actions.ts';

/** There is no next rule. */
export type FinalVerdict =
  | {readonly kind: 'reject' | 'silent-drop'}
  | {readonly kind: 'use-service'; readonly service: 'prometheus-exporter'}
  | {readonly kind: 'reply'; readonly reply: LocalReply; readonly why: 'denied' | 'answered'}
  | {readonly kind: 'tarpit'; readonly reply: LocalReply};

export interface WaitVerdict {
  readonly kind: 'wait-for-body';
  readonly timeMs: number;
  readonly atLeastBytes: number;
}

/** What a rule decides. Null: the next rule is next; that is so after early hints too. */
export type Verdict = FinalVerdict | {readonly kind: 'allow'} | EarlyHints | WaitVerdict | null;

/** Null also when its condition does not hold. */
export type RequestRule = (transaction: RuleSubject) => Verdict;

export interface RuleParts {
  readonly compilers: Compilers;
  readonly readFile: (path: string) => Buffer;
  /** Of `auth` without one. */
  readonly realm: string;
  /** The table that a rule of this proxy means: by its name, or its own. */
  readonly tableOf: (name: string | null) => StickTable | null;
}

export function compileRequestRules(rules: readonly Rule<HttpRequestAction>[], parts: RuleParts): readonly RequestRule[] {
  return rules.map(({action, condition}, at) => {
    const perform = compileAction(action, parts);
    const holds = condition === null ? null : parts.compilers.condition(condition);
    const rule = action.kind === 'early-hint' && !addsHint(rules[at + 1]) ? thenHint(perform) : perform;
    return holds === null ? rule : (transaction) => (holds(transaction) ? rule(transaction) : null);
  });
}

/** To the answer of the rule before it. As in HAProxy, one that has a condition begins another. */
function addsHint(next: Rule<HttpRequestAction> | undefined): boolean {
  return next?.action.kind === 'early-hint' && next.condition === null;
}

/** Their conditions see the whole head of the request, and wait for nothing. */
export function compileContentRules(rules: readonly Rule<TcpRequestAction>[], parts: RuleParts): readonly RequestRule[] {
  return compileRequestRules(
    rules.map(({action, ...rule}) => ({...rule, action: asHttpAction(action)})),
    parts,
  );
}

function asHttpAction(action: TcpRequestAction): HttpRequestAction {
  if (action.kind === 'accept') return {kind: 'allow'};
  assert(action.kind !== 'expect-proxy', 'A header of the PROXY protocol is not expected within a connection');
  // `reject` and `silent-drop` are the same in both.
  return action;
}

function compileAction(action: HttpRequestAction, parts: RuleParts): RequestRule {
  const {compilers} = parts;
  switch (action.kind) {
    case 'allow':
      return () => ({kind: 'allow'});
    case 'reject':
    case 'silent-drop': {
      const verdict = {kind: action.kind};
      return () => verdict;
    }
    case 'use-service':
      return () => action;
    case 'wait-for-body': {
      const verdict = {kind: action.kind, timeMs: action.timeMs, atLeastBytes: action.atLeastBytes};
      return () => verdict;
    }
    case 'early-hint':
      return compileEarlyHint(action, compilers);
    case 'deny':
    case 'return':
    case 'tarpit':
    case 'auth':
    case 'redirect':
      return compileAnswer(action, parts);
    case 'set-method':
    case 'set-path':
    case 'set-pathq':
    case 'set-query':
    case 'set-uri':
    case 'replace-path':
    case 'replace-pathq':
    case 'replace-uri': {
      const edit = compileUriAction(action, compilers);
      return (transaction) => {
        edit(transaction.request, transaction);
        return null;
      };
    }
    case 'set-header':
    case 'add-header':
    case 'del-header':
    case 'replace-header':
    case 'replace-value': {
      const edit = compileHeaderAction(action, compilers);
      return (transaction) => {
        const {request} = transaction;
        request.headers = edit(request.headers, transaction);
        return null;
      };
    }
    default:
      return compileEffect(action, parts);
  }
}

type Answer = Extract<HttpRequestAction, {kind: 'deny' | 'return' | 'tarpit' | 'auth' | 'redirect'}>;

function compileAnswer(action: Answer, {compilers, readFile, realm}: RuleParts): RequestRule {
  switch (action.kind) {
    case 'redirect': {
      const redirect = compileRedirect(action, compilers);
      return (transaction) => {
        const reply = redirect(transaction);
        return reply === null ? null : {kind: 'reply', reply, why: 'answered'};
      };
    }
    case 'auth': {
      const challenge = `Basic realm="${(action.realm ?? realm).replace(/["\\]/g, '\\$&')}"`;
      return (transaction) => {
        const page = transaction.errorPage(401);
        return {kind: 'reply', why: 'answered', reply: {...page, headers: [...page.headers, ['www-authenticate', challenge]]}};
      };
    }
    case 'deny':
    case 'return':
    case 'tarpit': {
      const make = compileReply(action.reply, compilers, readFile);
      const {kind} = action;
      return (transaction) => {
        const reply = make(transaction, transaction.errorPage);
        return kind === 'tarpit' ? {kind, reply} : {kind: 'reply', reply, why: kind === 'deny' ? 'denied' : 'answered'};
      };
    }
    default:
      return action satisfies never;
  }
}

type Effect = Extract<
  HttpRequestAction,
  {
    kind:
      | 'set-var'
      | 'unset-var'
      | 'capture'
      | 'track'
      | 'count-tracked'
      | 'tag-tracked'
      | 'set-map'
      | 'del-map'
      | 'add-acl'
      | 'del-acl'
      | 'set-src'
      | 'set-src-port'
      | 'set-dst'
      | 'set-dst-port'
      | 'set-log-level'
      | 'set-timeout';
  }
>;

/** What has an effect, and never a verdict. */
function compileEffect(action: Effect, parts: RuleParts): RequestRule {
  const perform = effectOf(action, parts);
  return (transaction) => {
    perform(transaction);
    return null;
  };
}

function effectOf(action: Effect, parts: RuleParts): (transaction: RuleSubject) => void {
  const {compilers} = parts;
  switch (action.kind) {
    case 'set-var':
      return compileSetVariable(action, compilers);
    case 'unset-var':
      return ({variables}) => variables.unset(action.name);
    case 'capture':
      return compileCapture(action, compilers);
    case 'track':
      return compileTrack(action, parts);
    case 'count-tracked':
    case 'tag-tracked':
      return compileChangeTracked(action, (expression) => compilers.expression(expression));
    case 'set-map':
    case 'del-map':
    case 'add-acl':
    case 'del-acl':
      return compileChangePatterns(action, compilers);
    case 'set-src':
    case 'set-src-port':
    case 'set-dst':
    case 'set-dst-port':
      return compileSetAddress(action, compilers);
    case 'set-log-level':
      return (transaction) => {
        transaction.logLevel = action.level;
      };
    case 'set-timeout':
      return ({timeouts}) => {
        timeouts[action.which] = action.ms;
      };
    default:
      return action satisfies never;
  }
}

function compileTrack({counter, key, table: name}: Extract<Effect, {kind: 'track'}>, {compilers, tableOf}: RuleParts): (transaction: RuleSubject) => void {
  const table = tableOf(name);
  if (table === null) throw new CodedError('ERR_NO_TABLE', `Cannot track ${key.text}: there is no table "${name ?? ''}"`, {source: 'client'});
  const sample = compilers.expression(key);
  return (transaction) => {
    const text = stickKey(table.config, sample(transaction));
    if (text !== null) transaction.track(counter, table, text);
  };
}
