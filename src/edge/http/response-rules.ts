/** `http-response` and `http-after-response` rules, made functions, and carried out in order. */

import type {HttpResponseAction, Rule, TcpResponseAction, WaitForBody} from '../../config/rules.ts';
import {compileChangeTracked} from '../samples/change-tracked.ts';
import type {Compilers} from './compilers.ts';
import {compileHeaderAction} from './header-actions.ts';
import type {ResponseHead} from './message.ts';
import {compileChangePatterns} from './pattern-actions.ts';
import {compileRedirect} from './redirect.ts';
import {compileReply, type LocalReply, reasonOf} from './reply.ts';
import type {RuleSubject} from './rule-subject.ts';
import {compileCapture, compileSetVariable} from './variable-actions.ts';

export interface ResponseVerdict {
  readonly kind: 'reply';
  readonly reply: LocalReply;
  readonly why: 'denied' | 'answered';
}

/** Null: the next rule is next. */
export type ResponseRule = (transaction: RuleSubject, response: ResponseHead) => ResponseVerdict | {readonly kind: 'allow'} | WaitForBody | null;

/** The rules that come after one that waits. */
export interface RulePlace {
  readonly list: number;
  readonly rule: number;
}

interface Parts {
  readonly compilers: Compilers;
  readonly readFile: (path: string) => Buffer;
}

export function compileResponseRules(rules: readonly Rule<HttpResponseAction>[], parts: Parts): readonly ResponseRule[] {
  return rules.map(({action, condition}) => {
    const perform = compileAction(action, parts);
    if (condition === null) return perform;
    const holds = parts.compilers.condition(condition);
    return (transaction, response) => (holds(transaction) ? perform(transaction, response) : null);
  });
}

/** The client of an answer that is rejected hears nothing; `close`: the server is not heard any more. */
export type ContentVerdict = 'accept' | 'reject' | 'close';

/** A rule of `tcp-response content`. Null: the next one is next. */
export type ResponseContentRule = (transaction: RuleSubject, response: ResponseHead) => ContentVerdict | null;

export function compileResponseContentRules(rules: readonly Rule<TcpResponseAction>[], compilers: Compilers): readonly ResponseContentRule[] {
  return rules.map(({action, condition}) => {
    const perform = contentAction(action, compilers);
    if (condition === null) return perform;
    const holds = compilers.condition(condition);
    return (transaction, response) => (holds(transaction) ? perform(transaction, response) : null);
  });
}

function contentAction(action: TcpResponseAction, compilers: Compilers): ResponseContentRule {
  switch (action.kind) {
    case 'accept':
    case 'reject':
    case 'close': {
      const verdict = action.kind;
      return () => verdict;
    }
    case 'set-var':
    case 'unset-var': {
      const perform = editOf(action, compilers);
      return (transaction, response) => {
        perform(transaction, response);
        return null;
      };
    }
    default:
      return action satisfies never;
  }
}

export interface ResponseWait extends WaitForBody {
  readonly next: RulePlace;
}

/** One list after the other, up to the first verdict; `allow` only ends its list. Null: none of them has one. */
export function runResponseRules(
  lists: readonly (readonly ResponseRule[])[],
  {transaction, response, from = {list: 0, rule: 0}}: {readonly transaction: RuleSubject; readonly response: ResponseHead; readonly from?: RulePlace},
): ResponseVerdict | ResponseWait | null {
  for (let list = from.list; list < lists.length; list++) {
    const rules = lists[list] ?? [];
    for (let at = list === from.list ? from.rule : 0; at < rules.length; at++) {
      const verdict = rules[at]?.(transaction, response) ?? null;
      if (verdict === null) continue;
      if (verdict.kind === 'allow') break;
      return verdict.kind === 'wait-for-body' ? {...verdict, next: {list, rule: at + 1}} : verdict;
    }
  }
  return null;
}

const allow = {kind: 'allow'} as const;

function compileAction(action: HttpResponseAction, {compilers, readFile}: Parts): ResponseRule {
  switch (action.kind) {
    case 'allow':
      return () => allow;
    case 'wait-for-body':
      return () => action;
    case 'redirect': {
      const redirect = compileRedirect(action, compilers);
      return (transaction) => {
        const reply = redirect(transaction);
        return reply === null ? null : {kind: 'reply', reply, why: 'answered'};
      };
    }
    case 'deny':
    case 'return': {
      const make = compileReply(action.reply, compilers, readFile);
      const why = action.kind === 'deny' ? 'denied' : 'answered';
      return (transaction) => ({kind: 'reply', reply: make(transaction, transaction.errorPage), why});
    }
    default:
      return compileEdit(action, compilers);
  }
}

type Edit = Exclude<HttpResponseAction, {kind: 'allow' | 'wait-for-body' | 'redirect' | 'deny' | 'return'}>;

/** What changes something, and never has a verdict. */
function compileEdit(action: Edit, compilers: Compilers): ResponseRule {
  const perform = editOf(action, compilers);
  return (transaction, response) => {
    perform(transaction, response);
    return null;
  };
}

function editOf(action: Edit, compilers: Compilers): (transaction: RuleSubject, response: ResponseHead) => void {
  switch (action.kind) {
    case 'set-header':
    case 'add-header':
    case 'del-header':
    case 'replace-header':
    case 'replace-value': {
      const edit = compileHeaderAction(action, compilers);
      return (transaction, response) => {
        response.headers = edit(response.headers, transaction);
      };
    }
    case 'set-status':
      return (_transaction, response) => {
        response.status = action.status;
        response.reason = action.reason ?? reasonOf(action.status);
      };
    case 'set-var':
      return compileSetVariable(action, compilers);
    case 'unset-var':
      return ({variables}) => variables.unset(action.name);
    case 'count-tracked':
    case 'tag-tracked':
      return compileChangeTracked(action, (expression) => compilers.expression(expression));
    case 'set-map':
    case 'del-map':
    case 'add-acl':
    case 'del-acl':
      return compileChangePatterns(action, compilers);
    case 'capture':
      return compileCapture(action, compilers);
    case 'set-log-level':
      return (transaction) => {
        transaction.logLevel = action.level;
      };
    default:
      return action satisfies never;
  }
}
