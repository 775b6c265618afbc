/** What sessions of a `mode tcp` frontend have in common. */
import type {FrontendConfig} from '../config/proxy-value.ts';
import type {Clock} from '../core/clock.ts';
import type {AppWatch} from './app-access.ts';
import type {Counters} from './counters.ts';
import type {ProbeRules} from './probes/probe-rules.ts';
import type {RefusalLog} from './refusal-log.ts';
import type {SampleContext} from './samples/context.ts';
import type {ConnectionRule} from './session/connection-rules.ts';
import type {BackendRoute} from './session/routes.ts';
import type {MannersOf} from './session/server-connections.ts';
import type {SessionLines} from './session/session-lines.ts';

export interface TcpSessionParts<Session> {
  readonly config: FrontendConfig;
  readonly contentRules: readonly ConnectionRule[];
  readonly choose: (context: () => SampleContext) => BackendRoute | null;
  /** Null: none of its connections is a health check. */
  readonly probes: ProbeRules | null;
  /** Null: there are no apps. */
  readonly watch: AppWatch | null;
  readonly mannersOf: MannersOf;
  readonly lines: SessionLines;
  readonly clock: Clock;
  readonly counters: Counters;
  readonly refusals: RefusalLog;
  /** Called when both sockets are gone. */
  readonly onClosed: (session: Session) => void;
}
