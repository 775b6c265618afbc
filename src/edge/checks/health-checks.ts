/**
 * When servers are checked. Never two checks of a server at a time. An app is checked only while it is awake: the checks stop when it goes to
 * sleep, and the first one follows its wake; so they neither wake it nor hold a session open that keeps it awake.
 */
import type {CheckSchedule} from '../../config/health.ts';
import type {BackendConfig} from '../../config/proxy-value.ts';
import {CodedError} from '../../core/errors.ts';
import type {AppName} from '../../core/ids.ts';
import {AgentPlan} from './agent-plan.ts';
import {checkAddress} from './check-address.ts';
import type {CheckAddress} from './check-connection.ts';
import {type CheckRunner, createCheckRunner} from './check-runner.ts';
import type {CheckedServer, HealthChecksOptions} from './checked-server.ts';

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
  for (const [index, plan] of [...plans.values()].entries()) plan.start((shortestMs * index) / plans.size);
  const agents = new Map<CheckedServer, AgentPlan>();
  const addAgent = (backend: BackendConfig, server: CheckedServer, delayMs: number): void => {
    const {agent} = server;
    if (agent === null) return;
    const plan = new AgentPlan({server, agent, backend}, options, stop.signal);
    agents.set(server, plan);
    plan.start(delayMs);
  };
  for (const {config, servers} of options.backends) {
    for (const [index, server] of servers.entries()) addAgent(config, server, ((server.agent?.intervalMs ?? 0) * index) / servers.length);
  }
  const unwatch = options.watch?.onChange((app, awake) => {
    for (const plan of [...plans.values(), ...agents.values()]) plan.appChanged(app, awake);
  });
  return {
    add(backend, server) {
      addAgent(backend, server, 0);
      const schedule = server.config.check;
      if (schedule === null) return;
      const plan = new CheckPlan({server, schedule, runner: createCheckRunner({...options, backend})}, options, stop.signal);
      plans.set(server, plan);
      plan.start(0);
    },
    remove(server) {
      plans.get(server)?.end();
      plans.delete(server);
      agents.get(server)?.end();
      agents.delete(server);
    },
    [Symbol.dispose]() {
      unwatch?.();
      stop.abort();
      for (const plan of [...plans.values(), ...agents.values()]) plan.stop();
    },
  };
}

const suspicion = new CodedError('ERR_SUSPICION', 'Traffic has met errors', {source: 'server'});

class CheckPlan {
  readonly #server: CheckedServer;
  readonly #schedule: CheckSchedule;
  readonly #runner: CheckRunner;
  readonly #options: HealthChecksOptions;
  readonly #signal: AbortSignal;
  #cancelNext: () => void = () => undefined;
  /** When the next check comes (Clock.monotonicMs); null: none is planned. */
  #dueMs: number | null = null;
  #isRunning = false;
  #hasEnded = false;
  #current = new AbortController();

  constructor(
    plan: {readonly server: CheckedServer; readonly schedule: CheckSchedule; readonly runner: CheckRunner},
    options: HealthChecksOptions,
    signal: AbortSignal,
  ) {
    this.#server = plan.server;
    this.#schedule = plan.schedule;
    this.#runner = plan.runner;
    this.#options = options;
    this.#signal = signal;
    this.#server.onSuspicion = () => this.#hurry();
  }

  start(delayMs: number): void {
    this.#cancelNext();
    if (this.#signal.aborted || this.#hasEnded) return;
    this.#dueMs = this.#options.clock.monotonicMs() + delayMs;
    this.#cancelNext = this.#options.clock.after(delayMs, () => void this.#check());
  }

  stop(): void {
    this.#cancelNext();
    this.#dueMs = null;
    this.#current.abort();
  }

  /** For good. */
  end(): void {
    this.#hasEnded = true;
    this.stop();
  }

  appChanged(app: AppName, awake: boolean): void {
    const {target} = this.#server;
    if (target.kind !== 'app' || target.app !== app) return;
    if (awake) {
      if (!this.#isRunning) this.start(0);
      return;
    }
    this.stop();
    this.#server.assumeUp();
  }

  /** The next check comes after `fastinter` at the latest. One that runs counts no more where the errors counted as a check themselves. */
  #hurry(): void {
    const {fastIntervalMs} = this.#schedule;
    if (this.#isRunning && this.#server.config.observe?.onError !== 'fastinter') this.#current.abort(suspicion);
    if (fastIntervalMs === null || this.#dueMs === null) return;
    if (this.#options.clock.monotonicMs() + fastIntervalMs < this.#dueMs) this.start(fastIntervalMs);
  }

  async #check(): Promise<void> {
    if (this.#isRunning) return;
    this.#dueMs = null;
    const address = this.#address();
    if (this.#server.isInMaintenance || !this.#server.checksEnabled || address === null) {
      // An app that sleeps is checked again when it wakes up.
      const {target} = this.#server;
      if (target.kind !== 'app' || this.#options.watch?.isAwake(target.app) === true) this.start(this.#intervalMs());
      return;
    }
    this.#isRunning = true;
    this.#current = new AbortController();
    const {signal} = this.#current;
    try {
      const {config, isUp} = this.#server;
      const result = await this.#runner.run({config, schedule: this.#schedule, address, isUp}, signal);
      if (!signal.aborted) this.#server.applyCheck(result);
    } catch (error) {
      // Given up because it is not wanted any more.
      if (!signal.aborted) throw error;
    } finally {
      this.#isRunning = false;
    }
    // One that was given up because the app went to sleep is made up for if it is awake again.
    this.start(signal.aborted && signal.reason !== suspicion ? 0 : this.#intervalMs());
  }

  #address(): CheckAddress | null {
    return checkAddress(this.#server.target, this.#schedule, this.#options.watch);
  }

  #intervalMs(): number {
    const {intervalMs, fastIntervalMs, downIntervalMs} = this.#schedule;
    const {isUp, isChanging} = this.#server;
    const plainMs = isChanging ? (fastIntervalMs ?? intervalMs) : isUp ? intervalMs : (downIntervalMs ?? intervalMs);
    const random = this.#options.random ?? Math.random;
    return plainMs * (1 + (this.#options.spreadPercent / 100) * (random() * 2 - 1));
  }
}
