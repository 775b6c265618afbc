/** When the agent of a server is asked: in maintenance too, which it may end, but not while the server is an app that sleeps. */
import type {BackendConfig} from '../../config/proxy-value.ts';
import type {AppName} from '../../core/ids.ts';
import {askAgent} from './agent-check.ts';
import {checkAddress} from './check-address.ts';
import type {AskedAgent, CheckedServer, HealthChecksOptions} from './checked-server.ts';

export class AgentPlan {
  readonly #server: CheckedServer;
  readonly #agent: AskedAgent;
  readonly #backend: BackendConfig;
  readonly #options: HealthChecksOptions;
  readonly #signal: AbortSignal;
  #cancelNext: () => void = () => undefined;
  #current = new AbortController();
  #isRunning = false;
  #hasEnded = false;

  constructor(
    plan: {readonly server: CheckedServer; readonly agent: AskedAgent; readonly backend: BackendConfig},
    options: HealthChecksOptions,
    signal: AbortSignal,
  ) {
    this.#server = plan.server;
    this.#agent = plan.agent;
    this.#backend = plan.backend;
    this.#options = options;
    this.#signal = signal;
  }

  start(delayMs: number): void {
    this.#cancelNext();
    if (this.#signal.aborted || this.#hasEnded) return;
    this.#cancelNext = this.#options.clock.after(delayMs, () => void this.#ask());
  }

  stop(): void {
    this.#cancelNext();
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

  async #ask(): Promise<void> {
    const {clock, services, watch} = this.#options;
    const {config, target} = this.#server;
    const {address: host, port, intervalMs, send, isEnabled} = this.#agent;
    const address = isEnabled ? checkAddress(target, {address: host, port}, watch) : null;
    if (address !== null) {
      this.#isRunning = true;
      this.#current = new AbortController();
      const {signal} = this.#current;
      try {
        const answer = await askAgent({config, address, intervalMs, send, backend: this.#backend, services, clock, signal});
        if (!signal.aborted) this.#server.applyAgent(answer);
      } catch (error) {
        // Given up because it is not wanted any more.
        if (!signal.aborted) throw error;
      } finally {
        this.#isRunning = false;
      }
    }
    // One that sleeps is asked again when it wakes up.
    if (target.kind === 'app' && watch?.isAwake(target.app) !== true) return;
    this.start(this.#current.signal.aborted ? 0 : intervalMs);
  }
}
