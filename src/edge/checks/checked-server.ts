/** What the checks of servers, and the questions to their agents, work on. */
import type {CheckPlace} from '../../config/health.ts';
import type {BackendConfig, ServerConfig, Target} from '../../config/proxy-value.ts';
import type {Clock} from '../../core/clock.ts';
import type {AppWatch} from '../app-access.ts';
import type {AgentAnswer} from './agent-check.ts';
import type {CheckServices} from './check-connection.ts';
import type {CheckResult} from './check-result.ts';
import type {CheckSamples} from './check-samples.ts';

/** An agent as its questions see it; an operator may change where it is, and what it is sent. */
export interface AskedAgent {
  readonly intervalMs: number;
  readonly address: string | null;
  readonly port: number;
  readonly send: string;
  /** An operator may stop it. */
  readonly isEnabled: boolean;
}

/** A server as its checks see it. */
export interface CheckedServer {
  readonly config: ServerConfig;
  readonly target: Target;
  readonly isInMaintenance: boolean;
  readonly checksEnabled: boolean;
  /** Where an operator sends its checks; null: as configured. */
  readonly checkPlace: CheckPlace | null;
  readonly isUp: boolean;
  /** Between up and down. */
  readonly isChanging: boolean;
  applyCheck(result: CheckResult): void;
  assumeUp(): void;
  /** Null: it has none. */
  readonly agent: AskedAgent | null;
  applyAgent(answer: AgentAnswer): void;
  /** Called when its traffic has met too many errors. */
  onSuspicion: (() => void) | null;
}

export interface HealthChecksOptions {
  readonly backends: readonly {readonly config: BackendConfig; readonly servers: readonly CheckedServer[]}[];
  /** Null: apps are not checked. */
  readonly watch: AppWatch | null;
  readonly services: CheckServices;
  readonly samples: CheckSamples;
  readonly clock: Clock;
  /** By so many percent, at random, intervals are longer or shorter (`spread-checks`). */
  readonly spreadPercent: number;
  /** From 0 to 1; Math.random but in tests. */
  readonly random?: () => number;
}
