/** Connections that are health checks: told by what is known of them, or by their silence. */
import type {AppWatch} from '../app-access.ts';
import {inspectStream} from '../inspect/inspect-stream.ts';
import type {ProbedApp} from '../pool/assignment.ts';
import type {Pool} from '../pool/pool.ts';
import type {SessionContext} from '../session/session-context.ts';
import type {ByteStream} from '../streams/byte-stream.ts';
import type {ProbeRules} from './probe-rules.ts';
import {whenAsleep} from './when-asleep.ts';

interface Judged {
  readonly context: SessionContext;
  readonly socket: ByteStream;
  readonly bytes: Buffer | null;
}

/** A connection that may be one. */
export class TcpProbe implements Disposable {
  readonly #rules: readonly ProbeRules[];
  readonly #watch: AppWatch | null;
  #rule: ProbeRules | null = null;
  #isOver = false;
  #unwatch: (() => void) | null = null;

  /** @param rules of the frontend and of the backend; null: there are none */
  constructor(rules: readonly (ProbeRules | null)[], watch: AppWatch | null) {
    this.#rules = rules.filter((one) => one !== null);
    this.#watch = watch;
  }

  /** It wakes no app; one that is awake is asked. */
  get isCheck(): boolean {
    return this.#rule !== null;
  }

  /** It was a check that said nothing, and has ended. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Where no server is an app all is traffic. @param bytes what it is known to have said @returns that and what it has said meanwhile */
  async judge({servers}: Pool, {context, socket, bytes}: Judged): Promise<Buffer | null> {
    if (!servers.some(({target}) => target.kind === 'app')) return bytes;
    context.inspectionEnded = true;
    this.#rule = this.#rules.find((one) => one.holds(context)) ?? null;
    context.inspectionEnded = false;
    const silenceMs = Math.max(...this.#rules.map((one) => one.silenceMs ?? 0));
    if (this.#rule !== null || silenceMs === 0 || (bytes !== null && bytes.length > 0)) return bytes;
    const said = await firstWords(socket, silenceMs);
    this.#isOver = said === null;
    return said;
  }

  /** It is counted for the only app that it can have been meant for, while that sleeps. */
  countSilence({servers}: Pool): void {
    const [server, other] = servers;
    if (this.#watch === null || other !== undefined || server?.target.kind !== 'app') return;
    if (!this.#watch.isAwake(server.target.app)) this.#watch.checkAnswered(server.target.app);
  }

  /**
   * Answers for an app that sleeps: the connection, which stands already, ends in good order, or is reset where a session could not be served.
   * @param over called before it ends: in the phase of rules, or, when an app that is awake goes to sleep, in that of data
   * @returns false when the app is awake
   */
  answers({app, isAwake}: ProbedApp, socket: ByteStream, over: (phase: 'R' | 'D') => void): boolean {
    if (isAwake && this.#watch?.isAwake(app) === true) {
      this.#unwatch = whenAsleep(app, this.#watch, () => {
        over('D');
        socket.destroy();
      });
      return false;
    }
    this.#watch?.checkAnswered(app);
    over('R');
    if (this.#rule?.answers !== false && this.#watch?.isWakeable(app) !== false) socket.destroySoon();
    else socket.resetAndDestroy();
    return true;
  }

  [Symbol.dispose](): void {
    this.#unwatch?.();
  }
}

/** Null: it has ended without a word. Empty: it is silent for longer than that. */
async function firstWords(socket: ByteStream, timeoutMs: number): Promise<Buffer | null> {
  let hasEnded = socket.readableEnded;
  const onEnd = (): void => {
    hasEnded = true;
  };
  socket.on('end', onEnd);
  try {
    const {bytes} = await inspectStream(socket, (arrived, isAll) => (arrived.length > 0 || isAll || hasEnded ? true : undefined), {timeoutMs});
    return bytes.length === 0 && hasEnded ? null : bytes;
  } catch {
    // The connection is lost, as those of most checks are: they end with a reset.
    return null;
  } finally {
    socket.off('end', onEnd);
  }
}
