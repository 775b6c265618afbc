/** The next restore of one app, prepared while the app sleeps. Only a gain in time: whatever goes wrong, the wake does all of it itself. */
import {errorMessage} from '../core/errors.ts';
import {type InstanceName, newInstanceName} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {GenerationMeta, InstanceTools, Rest} from './instance.ts';
import {type PreparedRestore, prepareRestore} from './restore.ts';
import type {StandbyLimit} from './standby-limit.ts';

/** Then it is taken for impossible here. */
const failuresMax = 3;

export interface StandbyOptions extends InstanceTools {
  readonly standbys: StandbyLimit;
  readonly log: Log;
}

type Checkpoint = Extract<Rest, {kind: 'checkpoint'}>;

/** What the app starts from, as far as it is known; without `meta` its files are not. */
type Expected = Pick<Checkpoint, 'generation' | 'unread'> & Partial<Pick<Checkpoint, 'meta'>>;

interface Attempt {
  readonly expected: Expected;
  readonly name: InstanceName;
  /** Its turn has come. */
  isBegun: boolean;
  /** Undefined when it failed, or was given up before its turn. */
  readonly restore: Promise<PreparedRestore | undefined>;
}

export class Standby {
  readonly #options: StandbyOptions;
  #current: Attempt | undefined;
  #dropping: Promise<void> = Promise.resolve();
  #isStopped = false;
  /** Until the app has slept again. */
  #taken: Attempt | undefined;
  /** How often in a row it failed to have namespaces made ahead. */
  #failures = 0;

  constructor(options: StandbyOptions) {
    this.#options = options;
  }

  /** In the background, in place of what was prepared before. */
  prepare(expected: Expected): void {
    void this.drop();
    if (this.#isStopped) return;
    const restore = this.#options.standbys.inTurn(() => this.#prepare(attempt));
    const attempt: Attempt = {expected, name: newInstanceName(Date.now()), isBegun: false, restore};
    [this.#current, this.#taken] = [attempt, undefined];
  }

  async #prepare(attempt: Attempt): Promise<PreparedRestore | undefined> {
    if (this.#current !== attempt) return undefined;
    // The root is mounted for one at a time.
    await this.#dropping;
    if (this.#current !== attempt) return undefined;
    attempt.isBegun = true;
    const {expected} = attempt;
    const meta = expected.unread || this.#failures >= failuresMax ? null : (expected.meta ?? null);
    const restore = await this.#restoreFor(attempt, meta);
    if (meta === null) return restore;
    this.#failures = restore === undefined ? this.#failures + 1 : 0;
    return restore === undefined && this.#current === attempt ? this.#restoreFor(attempt, null) : restore;
  }

  async #restoreFor(attempt: Attempt, meta: GenerationMeta | null): Promise<PreparedRestore | undefined> {
    const {log, standbys} = this.#options;
    try {
      const restore = await prepareRestore(this.#options, {generation: attempt.expected.generation, layers: []}, {name: attempt.name, meta});
      // At its end, and when others need the room; by then it may have been taken.
      const giveUp = (): void => void (this.#current === attempt && this.drop());
      standbys.hold(attempt, {bytes: restore.memoryBytes, giveUp});
      void restore.criu.ended.then(giveUp);
      return restore;
    } catch (error) {
      log.debug({error: errorMessage(error), inside: meta !== null}, 'the next wake could not be prepared');
      return undefined;
    }
  }

  /** What is prepared for a generation and its files; the caller owns it. Waits for one that is being prepared. */
  async take({generation, meta}: Checkpoint): Promise<PreparedRestore | undefined> {
    const attempt = this.#current;
    if (attempt?.expected.generation !== generation || !attempt.isBegun) {
      await this.drop();
      return undefined;
    }
    [this.#current, this.#taken] = [undefined, attempt];
    const restore = await attempt.restore;
    this.#options.standbys.free(attempt);
    if (restore === undefined) return undefined;
    // What was prepared without a lease may be of a worker whose generation another one has written anew.
    if (restore.criu.alive && layersIn(restore.inside === null ? restore.meta : attempt.expected.meta) === layersIn(meta)) return restore;
    await this.#undo(restore);
    return undefined;
  }

  /** The file-system layers that must not be removed now. */
  get layers(): readonly string[] {
    return [this.#current, this.#taken].flatMap((attempt) => (attempt === undefined ? [] : [...(attempt.expected.meta?.layers ?? []), attempt.name]));
  }

  /** Gives up what is prepared, if anything is. Resolves when nothing is left of it. Never throws. */
  drop(): Promise<void> {
    const attempt = this.#current;
    this.#current = undefined;
    // Of one whose turn has not come, nothing is there.
    if (attempt?.isBegun) this.#dropping = Promise.all([this.#dropping, this.#discard(attempt)]).then(() => undefined);
    return this.#dropping;
  }

  /** The same, and nothing is prepared any more. */
  stop(): Promise<void> {
    this.#isStopped = true;
    return this.drop();
  }

  async #discard(attempt: Attempt): Promise<void> {
    const restore = await attempt.restore;
    this.#options.standbys.free(attempt);
    if (restore !== undefined) await this.#undo(restore);
  }

  async #undo(restore: PreparedRestore): Promise<void> {
    try {
      await restore[Symbol.asyncDispose]();
    } catch (error) {
      this.#options.log.debug({instance: restore.id, error: errorMessage(error)}, 'a prepared restore could not be undone');
    }
  }
}

/** Each instance has a layer of its own, so that no two of them commit the same list. */
function layersIn(meta: unknown): string {
  return JSON.stringify(typeof meta === 'object' && meta !== null && 'layers' in meta ? meta.layers : null);
}
