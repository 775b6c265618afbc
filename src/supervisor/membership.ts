/** This worker among the others: says three times per lease that it is there, and notices when another one is not heard of any more. */
import type {Clock} from '../core/clock.ts';
import {errorMessage} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import type {WorkerRecord, WorkerStatus, Workers} from '../store/workers.ts';

export interface MembershipOptions {
  readonly workers: Workers;
  /** What this worker says of itself now. */
  readonly record: () => Omit<WorkerRecord, 'isStopping'>;
  /** The same after a restart of this worker, and no other gateway's. */
  readonly identity: string;
  readonly leaseMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** What was said a moment ago is good enough to choose a worker by. */
const freshMs = 500;
/** After the moment at which a worker would be gone. */
const expiryMarginMs = 10;

export class Membership implements AsyncDisposable {
  readonly #options: MembershipOptions;
  readonly #onGone = new Set<(worker: string, address: string) => void>();
  #onSilent: (worker: string, isSilent: boolean) => void = () => undefined;
  /** Those that are late to say that they are there. */
  readonly #silent = new Set<string>();
  /** Those that are gone, and their addresses. */
  readonly #gone = new Map<string, string>();
  #known: readonly WorkerStatus[] = [];
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #asking: Promise<readonly WorkerStatus[]> | undefined;
  #cancelBeat = (): void => undefined;
  #cancelLook = (): void => undefined;
  #beating: Promise<void> = Promise.resolve();
  #isStopping = false;
  #isOver = false;

  private constructor(options: MembershipOptions) {
    this.#options = options;
  }

  /** @throws CodedError ERR_WORKER_NAME when another gateway has the name; ERR_REDIS_UNAVAILABLE */
  static async join(options: MembershipOptions): Promise<Membership> {
    const membership = new Membership(options);
    await membership.#beat();
    await membership.list();
    membership.#beatLater();
    return membership;
  }

  get name(): string {
    return this.#options.record().name;
  }

  /** Nothing may be woken here. */
  get isDraining(): boolean {
    return this.#known.some(({name, isDraining}) => name === this.name && isDraining);
  }

  /** All workers, as they were at most half a second ago. @throws CodedError ERR_REDIS_UNAVAILABLE */
  async list(): Promise<readonly WorkerStatus[]> {
    if (this.#options.clock.monotonicMs() - this.#askedAtMs < freshMs) return this.#known;
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  /** The next question is put to Redis. */
  forgetList(): void {
    this.#askedAtMs = Number.NEGATIVE_INFINITY;
  }

  /** Calls back once for each worker that is not heard of any more, also for those that were gone before this one joined. */
  onGone(callback: (worker: string, address: string) => void): void {
    this.#onGone.add(callback);
    for (const [worker, address] of this.#gone) callback(worker, address);
  }

  /** Calls back when a worker has not been heard of for half a lease, and when it is heard of again. */
  onSilent(callback: (worker: string, isSilent: boolean) => void): void {
    this.#onSilent = callback;
  }

  /** Of a worker, as far as it has been heard of. */
  addressOf(worker: string): string | undefined {
    return this.#known.find(({name}) => name === worker)?.address;
  }

  async #ask(): Promise<readonly WorkerStatus[]> {
    this.#known = await this.#options.workers.list();
    this.#askedAtMs = this.#options.clock.monotonicMs();
    this.#notice();
    return this.#known;
  }

  #notice(): void {
    const {clock, leaseMs} = this.#options;
    for (const {name, state, address} of this.#known) {
      if (state !== 'gone') this.#gone.delete(name);
      else if (!this.#gone.has(name)) this.#tell(name, address);
    }
    const others = this.#known.filter(({name, state}) => name !== this.name && state === 'alive');
    // One that says so three times per lease is late by then.
    const lateMs = leaseMs / 2;
    for (const {name, expiresInMs} of others) this.#isLate(name, expiresInMs <= lateMs);
    this.#cancelLook();
    if (others.length === 0 || this.#isOver) return;
    // The next one that would be late, or gone, is looked at as soon as it is.
    const looks = others.map(({expiresInMs}) => (expiresInMs > lateMs ? expiresInMs - lateMs : expiresInMs));
    this.#cancelLook = clock.after(Math.min(...looks) + expiryMarginMs, () => {
      this.forgetList();
      this.#try(this.list());
    });
  }

  #isLate(worker: string, isLate: boolean): void {
    if (this.#silent.has(worker) === isLate) return;
    if (isLate) this.#silent.add(worker);
    else this.#silent.delete(worker);
    this.#onSilent(worker, isLate);
  }

  #tell(worker: string, address: string): void {
    this.#gone.set(worker, address);
    this.#silent.delete(worker);
    this.#options.log.warn({worker}, 'a worker is not heard of any more');
    for (const callback of this.#onGone) callback(worker, address);
  }

  #beatLater(): void {
    if (this.#isOver) return;
    const {clock, leaseMs} = this.#options;
    this.#cancelBeat = clock.after(leaseMs / 3, () => {
      this.#beating = this.#beat();
      this.#try(this.#beating.finally(() => this.#beatLater()));
    });
  }

  async #beat(): Promise<void> {
    const {workers, identity, leaseMs} = this.#options;
    await workers.beat(this.#record(), {identity, ttlMs: leaseMs});
    this.forgetList();
    await this.list();
  }

  #record(): WorkerRecord {
    return {...this.#options.record(), isStopping: this.#isStopping};
  }

  /** The apps of this worker are put to sleep, and it is gone soon: nothing is woken here any more, and nothing taken for lost. Never rejects. */
  async stopping(): Promise<void> {
    this.#isStopping = true;
    await this.#beat().catch((error: unknown) =>
      this.#options.log.warn({error: errorMessage(error)}, 'the other workers could not be told that this one stops'),
    );
  }

  #try(work: Promise<unknown>): void {
    work.catch((error: unknown) => this.#options.log.warn({error: errorMessage(error)}, 'the other workers cannot be heard, or do not hear this one'));
  }

  /** Leaves in good order. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelBeat();
    this.#cancelLook();
    // One that is under way would say afterwards that this worker is there.
    await Promise.allSettled([this.#beating]);
    await this.#options.workers.leave(this.#record()).catch((error: unknown) => {
      this.#options.log.warn({error: errorMessage(error)}, 'the other workers could not be told that this one stops');
    });
  }
}
