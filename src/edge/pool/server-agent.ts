/** What a server knows of its agent: where it is, and what it said last. */
import type {AgentCheck} from '../../config/health.ts';
import type {ServerConfig} from '../../config/proxy-value.ts';
import type {AgentAnswer, AgentWords} from '../checks/agent-check.ts';
import type {CheckResult} from '../checks/check-result.ts';
import type {AdminState} from './server-host.ts';

/** What an agent may change, besides the health. */
export interface AgentControls {
  readonly admin: AdminState;
  setAdmin(state: AdminState): void;
  /** @param weight 0 to 256 */
  setWeight(weight: number): void;
  setMaxconn(maxconn: number | null): void;
}

export class ServerAgent {
  readonly intervalMs: number;
  /** Null: that of the server. */
  address: string | null;
  port: number;
  send: string;
  /** False: an operator has stopped it. */
  isEnabled = true;
  /** The agent has called the server down. */
  isDown = false;
  last: CheckResult | null = null;
  /** What the agent has set. */
  #admin: AdminState = 'ready';
  #weight = false;
  #maxconn = false;

  readonly #configured: Pick<ServerConfig, 'weight' | 'maxconn'>;

  /** @param configured what percentages are of, and what an agent that is forgotten leaves */
  constructor({address, port, intervalMs, send}: AgentCheck, configured: Pick<ServerConfig, 'weight' | 'maxconn'>) {
    this.#configured = configured;
    this.intervalMs = intervalMs;
    this.address = address;
    this.port = port;
    this.send = send;
  }

  /** Whether it holds the server down. */
  get forbids(): boolean {
    return this.isEnabled && this.isDown;
  }

  /** Of the runtime API. */
  change({address, port, send}: {readonly address?: string; readonly port?: number; readonly send?: string}): void {
    this.address = address ?? this.address;
    this.port = port ?? this.port;
    this.send = send ?? this.send;
  }

  /** Does what the answer says, but for the health, and says what it is as the result of a check. */
  apply(answer: AgentAnswer, controls: AgentControls): CheckResult {
    switch (answer.kind) {
      case 'failed':
        return answer.result;
      case 'incomplete':
        return {status: 'CHECKED', code: 0, ...this.last, info: 'Ignoring incomplete line from agent', durationMs: answer.durationMs};
      case 'words':
        return {...this.#obey(answer.words, controls), code: 0, durationMs: answer.durationMs};
      default:
        return answer satisfies never;
    }
  }

  #obey(words: AgentWords, controls: AgentControls): Pick<CheckResult, 'status' | 'info'> {
    const {health, admin, unknown, reason} = words;
    if (admin !== null) {
      this.#admin = admin;
      controls.setAdmin(admin);
    }
    const warning = this.#setWeight(words.weight, controls) ?? this.#setMaxconn(words.maxconn, controls);
    if (health === null) {
      const info = unknown !== null ? `agent reports an error : ${unknown}` : warning !== null ? `agent warns : ${warning}` : '';
      return {status: 'CHECKED', info};
    }
    // Why it is down is more than what else is wrong.
    const why = reason === '' || health.isUp ? (unknown ?? warning ?? reason) : reason;
    return {status: health.isUp ? 'L7OK' : 'L7STS', info: `via agent : ${health.word}${why === '' ? '' : ` (${why})`}`};
  }

  #setWeight(text: string | null, controls: AgentControls): string | null {
    if (text === null) return null;
    const percent = /^(\d+)%$/.exec(text)?.[1];
    if (percent === undefined) {
      return Number.parseInt(text, 10) > 256 ? 'Absolute weight can only be between 0 and 256 inclusive.' : 'Trailing garbage in weight string';
    }
    this.#weight = true;
    controls.setWeight(Math.min(256, Math.floor((this.#configured.weight * Number(percent)) / 100)));
    return null;
  }

  #setMaxconn(text: string | null, controls: AgentControls): string | null {
    if (text === null) return null;
    if (text === '') return 'Require <maxconn>.';
    if (!/^\d/.test(text)) return 'maxconn string empty or preceded by garbage';
    if (!/^\d{1,9}$/.test(text)) return 'Trailing garbage in maxconn string';
    this.#maxconn = true;
    controls.setMaxconn(text === '0' ? null : Number(text));
    return null;
  }

  /** The app sleeps, and so does its agent, which can take back nothing that it has said: that counts no more. */
  forget(controls: AgentControls): void {
    this.isDown = false;
    if (this.#admin !== 'ready' && this.#admin === controls.admin) controls.setAdmin('ready');
    if (this.#weight) controls.setWeight(this.#configured.weight);
    if (this.#maxconn) controls.setMaxconn(this.#configured.maxconn);
    this.#admin = 'ready';
    this.#weight = false;
    this.#maxconn = false;
  }
}
