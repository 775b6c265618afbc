/** Carries out a list of rules for a request, up to one whose verdict the exchange has to act on. */
import type {ClientStream} from './message.ts';
import {reasonOf} from './reply.ts';
import type {FinalVerdict, RequestRule, WaitVerdict} from './request-rules.ts';
import type {RuleSubject} from './rule-subject.ts';

export interface FoundVerdict {
  readonly verdict: FinalVerdict | WaitVerdict;
  /** The number of the rule after it. */
  readonly next: number;
}

export interface RuleRun {
  readonly from: number;
  readonly transaction: RuleSubject;
  readonly client: Pick<ClientStream, 'informational'>;
}

/** Null: the rules let it pass. */
export function runRequestRules(rules: readonly RequestRule[], {from, transaction, client}: RuleRun): FoundVerdict | null {
  for (let at = from; at < rules.length; at++) {
    const verdict = rules[at]?.(transaction) ?? null;
    if (verdict === null) continue;
    if (verdict.kind === 'allow') return null;
    if (verdict.kind !== 'early-hints') return {verdict, next: at + 1};
    client.informational({status: 103, reason: reasonOf(103), version: '1.1', headers: [...verdict.headers]});
  }
  return null;
}
