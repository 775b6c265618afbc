/** `tcp-response content` in mode tcp: the first bytes of a server are withheld until rules have decided about them. */
import type {Clock} from '../../core/clock.ts';
import type {AssignedServer} from '../pool/assignment.ts';
import {type ConnectionRule, RuleRun} from './connection-rules.ts';
import type {BackendRoute} from './routes.ts';
import type {SessionContext} from './session-context.ts';

/** As much as HAProxy's buffer has (`tune.bufsize`): when that is full, no more will come. */
const maxBytes = 16_384;

export interface ResponseInspectionOptions {
  readonly rules: readonly ConnectionRule[];
  readonly context: SessionContext;
  /** How long bytes are waited for that rules ask about; null: not at all. */
  readonly delayMs: number | null;
  readonly clock: Clock;
  /** Called with what was withheld when the time is over and the rules accept it. */
  readonly pass: (bytes: Buffer) => void;
  readonly refuse: () => void;
  /** Called once the rules have accepted what has come. */
  readonly accepted: () => void;
}

/**
 * For a connection to a server that has just been made. Where rules wait for bytes, `stick store-response` sees what they have waited for, else
 * nothing, as in HAProxy. Null: what the server says is passed on as it comes.
 */
export function inspectResponse(
  route: BackendRoute,
  server: AssignedServer,
  options: Omit<ResponseInspectionOptions, 'rules' | 'delayMs' | 'accepted'>,
): ResponseInspection | null {
  const {responseRules: rules, pool} = route;
  const {responseDelayMs: delayMs} = pool.config.tcp;
  const {context} = options;
  const answered = (): void => {
    context.inspectionEnded = true;
    route.answered(context, server);
  };
  const waits = rules.length > 0 && delayMs !== null;
  if (!waits) answered();
  if (rules.length === 0) return null;
  return new ResponseInspection({...options, rules, delayMs, accepted: waits ? answered : () => undefined});
}

export class ResponseInspection {
  readonly #options: ResponseInspectionOptions;
  readonly #run: RuleRun;
  readonly #cancelTimer: () => void;
  #state: 'waiting' | 'passed' | 'refused' = 'waiting';
  #held: Buffer = Buffer.alloc(0);

  /** The connection to the server is up. */
  constructor(options: ResponseInspectionOptions) {
    this.#options = options;
    this.#run = new RuleRun(options.rules);
    const {delayMs, clock, pass} = options;
    const expired = (): void => {
      const bytes = this.#judge(true);
      if (bytes !== null && bytes.length > 0) pass(bytes);
    };
    this.#cancelTimer = delayMs === null ? () => undefined : clock.after(delayMs, expired);
  }

  /** @returns what may be passed on now, or null */
  take(borrowed: Buffer): Buffer | null {
    if (this.#state === 'passed') return borrowed;
    if (this.#state === 'refused') return null;
    this.#held = Buffer.concat([this.#held, borrowed]);
    return this.#judge(this.#options.delayMs === null || this.#held.length >= maxBytes);
  }

  /** The server says no more. @returns what may be passed on now, or null */
  end(): Buffer | null {
    return this.#state === 'waiting' ? this.#judge(true) : null;
  }

  stop(): void {
    this.#cancelTimer();
  }

  #judge(isAll: boolean): Buffer | null {
    const {context, refuse, accepted} = this.#options;
    context.responsePayload = this.#held;
    context.inspectionEnded = isAll;
    const verdict = this.#run.run(context);
    if (verdict === 'undecided') return null;
    this.stop();
    this.#state = verdict === 'accept' ? 'passed' : 'refused';
    if (verdict === 'accept') {
      accepted();
      return this.#held;
    }
    refuse();
    return null;
  }
}
