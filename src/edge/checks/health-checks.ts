/**
 * When servers are checked. Never two checks of a server at a time. An app is checked only while it is awake: the checks stop when it goes to
 * sleep, and the first one follows its wake; so they neither wake it nor hold a session open that keeps it awake.
 */
import type {CheckSchedule} from '../../config/health.ts';
import type {BackendConfig} from '../../config/proxy-value.ts';
import {CodedError} from '../../core/errors.ts';
import {AgentPlan} from './agent-plan.ts';
import {checkAddress} from './check-address.ts';
import {type CheckRunner, createCheckRunner} from './check-runner.ts';
import type {CheckedServer, HealthChecksOptions} from './checked-server.ts';
import {RecurringQuestion} from './recurring-question.ts';

export interface HealthChecks extends Disposable {
  /** For a server that comes later. */
  add(backend: BackendConfig, server: CheckedServer): void;
  remove(server: CheckedServer): void;
}

/** Starts all checks, the first ones spread over the shortest interval. Disposing stops them at once; what runs is given up. */
export function startHealthChecks(options: HealthChecksOptions): HealthChecks {
  const stop = new AbortController();
  const planned = options.backends.flatMap(({config, servers}) => {
    const runner = createCheckRunner({...options, backend: config});
    return servers.flatMap((server) => (server.config.check === null ? [] : [{server, schedule: server.config.check, runner}]));
  });
  const shortestMs = Math.min(...planned.map(({schedule}) => schedule.intervalMs));
  const plans = new Map(planned.map((plan) => [plan.server, new CheckPlan(plan, options, stop.signal)]));
  for (const [index, plan] of [...plans.values()].entries()) plan.question.start((shortestMs * index) / plans.size);
  const agents = new Map<CheckedServer, AgentPlan>();
  const addAgent = (backend: BackendConfig, server: CheckedServer, delayMs: number): void => {
    const {agent} = server;
    if (agent === null) return;
    const plan = new AgentPlan({server, agent, backend}, options, stop.signal);
    agents.set(server, plan);
    plan.question.start(delayMs);
  };
  for (const {config, servers} of options.backends) {
    for (const [index, server] of servers.entries()) addAgent(config, server, ((server.agent?.intervalMs ?? 0) * index) / servers.length);
  }
  const unwatch = options.watch?.onChange((app, awake) => {
    for (const plan of [...plans.values(), ...agents.values()]) plan.question.appChanged(app, awake);
  });
  return {
    add(backend, server) {
      addAgent(backend, server, 0);
      const schedule = server.config.check;
      if (schedule === null) return;
      const plan = new CheckPlan({server, schedule, runner: createCheckRunner({...options, backend})}, options, stop.signal);
      plans.set(server, plan);
      plan.question.start(0);
    },
    remove(server) {
      plans.get(server)?.question.end();
      plans.delete(server);
      agents.get(server)?.question.end();
      agents.delete(server);
    },
    [Symbol.dispose]() {
      unwatch?.();
      stop.abort();
      for (const plan of [...plans.values(), ...agents.values()]) plan.question.stop();
    },
  };
}

const suspicion = new CodedError('ERR_SUSPICION', 'Traffic has met errors', {source: 'server'});

class CheckPlan {
  readonly question: RecurringQuestion;
  readonly #server: CheckedServer;
  readonly #options: HealthChecksOptions;
  readonly #schedule: CheckSchedule;
  readonly #runner: CheckRunner;

  constructor(
    plan: {readonly server: CheckedServer; readonly schedule: CheckSchedule; readonly runner: CheckRunner},
    options: HealthChecksOptions,
    signal: AbortSignal,
  ) {
    this.#server = plan.server;
    this.#options = options;
    this.question = new RecurringQuestion({server: plan.server, clock: options.clock, ask: () => this.#ask(), signal});
    this.#schedule = plan.schedule;
    this.#runner = plan.runner;
    this.#server.onSuspicion = () => this.#hurry();
  }

  /** The next check comes after `fastinter` at the latest. One that runs counts no more where the errors counted as a check themselves. */
  #hurry(): void {
    const {fastIntervalMs} = this.#schedule;
    if (this.question.isRunning && this.#server.config.observe?.onError !== 'fastinter') this.question.giveUp(suspicion);
    if (fastIntervalMs === null || this.question.dueMs === null) return;
    if (this.#options.clock.monotonicMs() + fastIntervalMs < this.question.dueMs) this.question.start(fastIntervalMs);
  }

  async #ask(): Promise<void> {
    if (this.question.isRunning) return;
    const {config, target, isInMaintenance, checksEnabled, checkPlace, isUp} = this.#server;
    const address = checkAddress(target, checkPlace ?? this.#schedule, this.#options.watch);
    if (isInMaintenance || !checksEnabled || address === null) {
      // An app that sleeps is checked again when it wakes up.
      if (target.kind !== 'app' || this.#options.watch?.isAwake(target.app) === true) this.question.start(this.#intervalMs());
      return;
    }
    const asked = await this.question.run(async (signal) => {
      const result = await this.#runner.run({config, schedule: this.#schedule, address, isUp}, signal);
      if (!signal.aborted) this.#server.applyCheck(result);
    });
    // One that was given up because the app went to sleep is made up for if it is awake again.
    this.question.start(asked.aborted && asked.reason !== suspicion ? 0 : this.#intervalMs());
  }

  #intervalMs(): number {
    const {intervalMs, fastIntervalMs, downIntervalMs} = this.#schedule;
    const {isUp, isChanging} = this.#server;
    const plainMs = isChanging ? (fastIntervalMs ?? intervalMs) : isUp ? intervalMs : (downIntervalMs ?? intervalMs);
    const random = this.#options.random ?? Math.random;
    return plainMs * (1 + (this.#options.spreadPercent / 100) * (random() * 2 - 1));
  }
}
