/** What a proxy says about health checks from outside: `health-check` and `answer-checks`. */
import type {Diagnostic} from './diagnostic.ts';
import type {ProbeRule} from './probe-shapes.ts';
import type {Probes, ProxyMode} from './proxy-value.ts';
import {all, effective, inherited, type Section} from './section.ts';

/** Null: it says nothing. In modes that cannot tell checks from traffic, lines of the defaults do not count. */
export function buildProbes(section: Section, mode: ProxyMode, report: (diagnostic: Diagnostic) => void): Probes | null {
  const isPossible = mode === 'tcp' || mode === 'http';
  for (const {value, position} of all(section, 'health-check')) {
    const alert = (message: string): void => report({level: 'alert', position, word: 'health-check', message});
    if (!isPossible) alert(`'health-check' is not possible in mode ${mode}${mode === 'nat' ? ': its packets go through the kernel' : ''}`);
    else if (mode === 'tcp' && value.kind === 'condition' && value.needsHttp) alert("this 'health-check' needs 'mode http'");
  }
  // Without a request a connection comes to no app in mode http, and in mode tcp there are no requests.
  const isUseful = (rule: ProbeRule): boolean => isPossible && (mode === 'http' ? rule.kind === 'condition' : rule.kind === 'silent' || !rule.needsHttp);
  const rules = inherited(section, 'health-check')
    .map(({value}) => value)
    .filter(isUseful);
  if (rules.length === 0) return null;
  const silences = rules.flatMap((rule) => (rule.kind === 'silent' ? [rule.ms] : []));
  return {
    conditions: rules.flatMap((rule) => (rule.kind === 'condition' ? [rule.condition] : [])),
    silenceMs: silences.at(-1) ?? null,
    answers: effective(section, 'answer-checks')?.value ?? true,
  };
}
