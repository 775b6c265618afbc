/** `tcp-response content` in mode tcp: the first bytes of a server are withheld until rules have decided about them. */
import type {Clock} from '../../core/clock.ts';
import type {AssignedServer} from '../pool/assignment.ts';
import type {PendingStores} from '../stick/stick-rules.ts';
import {type ConnectionRule, runRules} from './connection-rules.ts';
import type {BackendRoute} from './routes.ts';
import type {SessionContext} from './session-context.ts';

/** As much as HAProxy's buffer has (`tune.bufsize`): when that is full, no more will come. */
const maxBytes = 16_384;

const noBytes = Buffer.alloc(0);

export interface ResponseInspectionOptions {
  readonly rules: readonly ConnectionRule[];
  readonly context: SessionContext;
  /** How long bytes are waited for that rules ask about; null: not at all. */
  readonly delayMs: number | null;
  readonly clock: Clock;
  /** Called with what was withheld when the time is over and the rules accept it. */
  readonly pass: (bytes: Buffer) => void;
  readonly refuse: () => void;
  /** The client gets what was withheld, and that is all. */
  readonly close: (bytes: Buffer) => void;
  /** Called once the rules have not refused what has come. */
  readonly accepted: () => void;
}

/**
 * For a connection to a server that has just been made: before anything has come, rules that need nothing decide, and so do those that do not wait.
 * What `stick` rules store is stored then, and `stick store-response` sees what they have waited for, as in HAProxy. Null: what the server says is passed on as it comes.
 */
export function inspectResponse(
  route: BackendRoute,
  server: AssignedServer,
  options: {readonly pending: PendingStores | null} & Omit<ResponseInspectionOptions, 'rules' | 'delayMs' | 'accepted'>,
): ResponseInspection | null {
  const {responseRules: rules, pool} = route;
  const {context, pending} = options;
  const accepted = (): void => {
    context.inspectionEnded = true;
    route.answered(context, server, pending);
  };
  if (rules.length > 0) return new ResponseInspection({...options, rules, delayMs: pool.config.tcp.responseDelayMs, accepted});
  accepted();
  return null;
}

export class ResponseInspection {
  readonly #options: ResponseInspectionOptions;
  #cancelTimer: (() => void) | null = null;
  #state: 'waiting' | 'passed' | 'ended' = 'waiting';
  #held: Buffer = noBytes;

  /** The connection to the server is up. */
  constructor(options: ResponseInspectionOptions) {
    this.#options = options;
    const {delayMs, clock, pass} = options;
    this.#judge(delayMs === null);
    if (this.#state !== 'waiting' || delayMs === null) return;
    this.#cancelTimer = clock.after(delayMs, () => {
      const bytes = this.#judge(true);
      if (bytes !== null && bytes.length > 0) pass(bytes);
    });
  }

  /** Whether a rule has ended the session. */
  get hasEnded(): boolean {
    return this.#state === 'ended';
  }

  /** What came of the server and was not passed on. */
  get heldBytes(): number {
    return this.#held.length;
  }

  /** @returns what may be passed on now, or null */
  take(borrowed: Buffer): Buffer | null {
    if (this.#state === 'passed') return borrowed;
    if (this.#state === 'ended') return null;
    this.#held = Buffer.concat([this.#held, borrowed]);
    return this.#judge(this.#held.length >= maxBytes);
  }

  /** The server says no more. @returns what may be passed on now, or null */
  end(): Buffer | null {
    return this.#state === 'waiting' ? this.#judge(true) : null;
  }

  stop(): void {
    this.#cancelTimer?.();
  }

  #judge(isAll: boolean): Buffer | null {
    const {context, rules, refuse, close, accepted} = this.#options;
    context.responsePayload = this.#held;
    context.inspectionEnded = isAll;
    const verdict = runRules(rules, context);
    if (verdict === 'undecided') return null;
    this.stop();
    if (verdict !== 'accept' && verdict !== 'close') {
      this.#state = 'ended';
      refuse();
      return null;
    }
    const bytes = this.#held;
    this.#held = noBytes;
    accepted();
    this.#state = verdict === 'accept' ? 'passed' : 'ended';
    if (verdict === 'accept') return bytes;
    close(bytes);
    return null;
  }
}
