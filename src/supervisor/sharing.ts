import {CodedError, errorMessage} from '../core/errors.ts';
import type {AppOptions} from './app-status.ts';
import type {BusySessions} from './busy-sessions.ts';
import {signalAll} from './signals.ts';
import type {Standby} from './standby.ts';

/** What other workers have to say until they have heard that the app moves. */
const wordMs = 250;
const unfinishedPollMs = 20;
/** What takes longer than this to be answered is not waited for. */
const patienceMs = 10_000;

export interface SharingOptions extends Pick<AppOptions, 'config' | 'container' | 'network' | 'pager' | 'records' | 'clock' | 'log'> {
  readonly standby: Standby;
  readonly sessions: BusySessions;
  /** It runs on this worker, or is on its way to or from that. */
  readonly isHere: () => boolean;
}

/** What happens to an app on this worker because other workers may have it too. */
export class Sharing {
  readonly #options: SharingOptions;
  #standsStill = false;
  #mayBeStopped = false;

  constructor(options: SharingOptions) {
    this.#options = options;
  }

  /** Another worker has been seen to have it: what is known and prepared here is old. */
  movedAway(): void {
    const {isHere, records, standby} = this.#options;
    if (isHere()) return;
    records.movedAway();
    void standby.drop();
  }

  /**
   * The worker that has it is not heard of: what the app starts from is brought here and its restore prepared while the lease runs out, so that only the
   * restore is left then. Only a gain in time: what counts is found out under the lease. Never throws.
   */
  async foresee(): Promise<void> {
    const {config, isHere, log, pager, standby} = this.#options;
    if (isHere()) return;
    try {
      const generation = await pager.foresee(config.name);
      if (generation !== null && !isHere()) standby.prepare({generation});
    } catch (error) {
      log.debug({app: config.name, error: errorMessage(error)}, 'what it starts from could not be brought here ahead');
    }
  }

  /** The worker is heard of again. */
  foreseenInVain(): void {
    if (!this.#options.isHere()) void this.#options.standby.drop();
  }

  /** Its lease has run out: nobody may be answered by what runs here. */
  get standsStill(): boolean {
    return this.#standsStill;
  }

  /** Packets reach the app. Processes that were made, or let go, after the lease had run out do not answer them. @throws CodedError ERR_ROUTE_FAILED */
  letThrough(): void {
    const {container, network} = this.#options;
    if (this.#standsStill) signalAll(container.pids(), 'SIGSTOP');
    else if (this.#mayBeStopped) signalAll(container.pids(), 'SIGCONT');
    this.#mayBeStopped = false;
    network.wake();
  }

  /** The processes may have been stopped from outside, while this one did not get to run. @param isChanging a checkpoint or restore is under way */
  goOn({isChanging}: {readonly isChanging: boolean}): void {
    this.#mayBeStopped = isChanging;
    if (!isChanging && !this.#standsStill) signalAll(this.#options.container.pids(), 'SIGCONT');
  }

  /** To be called before anything is done with the app. @throws CodedError ERR_LEASE_OVERDUE (retryable) while its instance stands still */
  check(): void {
    const {config, isHere} = this.#options;
    if (!isHere()) this.#standsStill = false;
    if (!this.#standsStill) return;
    const found = 'its lease has run out and cannot be extended, so that another worker may have it';
    throw new CodedError('ERR_LEASE_OVERDUE', `Cannot use app "${config.name}" here: ${found}`, {source: 'host', retryable: true});
  }

  /** Before it moves to another worker, where no connection survives: what was said to the app is answered. Everybody else is held by now. Never throws. */
  async finish(): Promise<void> {
    const {clock, records, sessions, config, log} = this.#options;
    if (!records.isShared) return;
    const deadlineMs = clock.monotonicMs() + patienceMs;
    const pause = (ms: number): Promise<void> => new Promise((resolve) => void clock.after(ms, resolve));
    await pause(wordMs);
    while (sessions.unfinished > 0 || (await records.isUnfinishedElsewhere())) {
      if (clock.monotonicMs() > deadlineMs) return log.warn({app: config.name, ms: patienceMs}, 'clients wait for answers that take too long; the app moves');
      await pause(unfinishedPollMs);
    }
  }

  /** Whoever sent packets that are held is told that there will be no answer from here. */
  refusePackets(): void {
    this.#options.network.refuse();
  }

  /**
   * An instance whose lease has run out (true) may not answer anybody: another worker may have the app by now, and what is promised here would be
   * lost. It stands still until the lease is held again (false), or lost for good.
   */
  standStill(isOverdue: boolean): void {
    const {config, container, isHere, log, records} = this.#options;
    if (!isHere()) return;
    this.#standsStill = isOverdue;
    signalAll(container.pids(), isOverdue ? 'SIGSTOP' : 'SIGCONT');
    records.event(isOverdue ? 'stands-still' : 'goes-on', {});
    log.warn({app: config.name}, isOverdue ? 'the lease cannot be extended: the app stands still' : 'the lease is held again: the app goes on');
  }
}
