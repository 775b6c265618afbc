/** Which requests and connections are health checks from outside (`health-check`). Those that this gateway makes itself are in src/edge/checks. */
import type {Probes} from '../../config/proxy-value.ts';
import type {Condition} from '../../config/sample.ts';
import type {SampleContext} from '../samples/context.ts';

export interface ProbeRules {
  holds(context: SampleContext): boolean;
  /** Connections that say nothing for less than this are checks; null: they are not. */
  readonly silenceMs: number | null;
  /** Whether they are answered in the place of an app that sleeps; else they are refused. */
  readonly answers: boolean;
}

/** What logs call the server that has answered. */
export const probeServer = '<HEALTHCHECK>';

/** Null: nothing is one. @throws CodedError of the compiler */
export function compileProbes(probes: Probes | null, compile: (condition: Condition) => (context: SampleContext) => boolean): ProbeRules | null {
  if (probes === null) return null;
  const conditions = probes.conditions.map(compile);
  const {silenceMs, answers} = probes;
  return {holds: (context) => conditions.some((holds) => holds(context)), silenceMs, answers};
}
