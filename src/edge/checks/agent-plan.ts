/** When the agent of a server is asked: in maintenance too, which it may end, but not while the server is an app that sleeps. */
import type {BackendConfig} from '../../config/proxy-value.ts';
import {askAgent} from './agent-check.ts';
import {checkAddress} from './check-address.ts';
import type {AskedAgent, CheckedServer, HealthChecksOptions} from './checked-server.ts';
import {RecurringQuestion} from './recurring-question.ts';

export class AgentPlan {
  readonly question: RecurringQuestion;
  readonly #server: CheckedServer;
  readonly #options: HealthChecksOptions;
  readonly #agent: AskedAgent;
  readonly #backend: BackendConfig;

  constructor(
    plan: {readonly server: CheckedServer; readonly agent: AskedAgent; readonly backend: BackendConfig},
    options: HealthChecksOptions,
    signal: AbortSignal,
  ) {
    this.#server = plan.server;
    this.#options = options;
    this.question = new RecurringQuestion({server: plan.server, clock: options.clock, ask: () => this.#ask(), signal});
    this.#agent = plan.agent;
    this.#backend = plan.backend;
  }

  async #ask(): Promise<void> {
    const {clock, services, watch} = this.#options;
    const {config, target} = this.#server;
    const {address: host, port, intervalMs, send, isEnabled} = this.#agent;
    const address = isEnabled ? checkAddress(target, {address: host, port}, watch) : null;
    let isGivenUp = false;
    if (address !== null) {
      const backend = this.#backend;
      const asked = await this.question.run(async (signal) => {
        const answer = await askAgent({config, address, intervalMs, send, backend, services, clock, signal});
        if (!signal.aborted) this.#server.applyAgent(answer);
      });
      isGivenUp = asked.aborted;
    }
    // One that sleeps is asked again when it wakes up.
    if (target.kind === 'app' && watch?.isAwake(target.app) !== true) return;
    this.question.start(isGivenUp ? 0 : intervalMs);
  }
}
