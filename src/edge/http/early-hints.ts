/** `early-hint` rules: fields for an answer 103 before the request goes to a server. Those that follow without a condition are one answer with the one before them. */
import type {HttpRequestAction} from '../../config/rules.ts';
import type {Compilers} from './compilers.ts';
import {fieldValue, type Header} from './message.ts';
import type {RuleSubject} from './rule-subject.ts';

type EarlyHint = Extract<HttpRequestAction, {kind: 'early-hint'}>;

export interface EarlyHints {
  readonly kind: 'early-hints';
  readonly headers: readonly Header[];
}

/** The rule only remembers the field. A client of HTTP/1.0 knows no answer before the answer. */
export function compileEarlyHint({name, value}: EarlyHint, compilers: Compilers): (transaction: RuleSubject) => null {
  const field = name.toLowerCase();
  const make = compilers.format(value, 'message');
  return (transaction) => {
    if (transaction.request.version !== '1.0') transaction.hints.push([field, fieldValue(make(transaction))]);
    return null;
  };
}

/** The last one of those that are one answer: what was remembered is sent. */
export function thenHint(rule: (transaction: RuleSubject) => unknown): (transaction: RuleSubject) => EarlyHints | null {
  return (transaction) => {
    rule(transaction);
    const headers = transaction.hints;
    if (headers.length === 0) return null;
    transaction.hints = [];
    return {kind: 'early-hints', headers};
  };
}
