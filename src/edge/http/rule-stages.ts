/** The rules that a request goes through, one list after the other. */
import {restrictNames} from './header-names.ts';
import type {RequestRule} from './request-rules.ts';
import type {Transaction} from './transaction.ts';

/** Whose rules are run, in this order: `tcp-request content` before `http-request`. */
export type Stage = 'frontend-content' | 'frontend' | 'backend-content' | 'backend';

export function rulesOf(stage: Stage, {frontend, destination}: Transaction): readonly RequestRule[] {
  const proxy = stage === 'frontend-content' || stage === 'frontend' ? frontend : destination;
  return (stage === 'frontend' || stage === 'backend' ? proxy?.requestRules : proxy?.contentRules) ?? [];
}

/** What the proxy asks of a request that its `http-request` rules have let pass. @returns false when it is to be refused */
export function mayPass(stage: Stage, {frontend, destination, request}: Transaction): boolean {
  const proxy = stage === 'frontend' ? frontend : stage === 'backend' ? destination : null;
  return proxy === null || restrictNames(proxy.config, request);
}
