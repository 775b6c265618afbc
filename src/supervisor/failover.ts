import type {Clock} from '../core/clock.ts';
import {errorMessage} from '../core/errors.ts';
import type {AppName} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {Trigger} from '../core/trigger.ts';
import type {AppRecord} from '../store/app-record.ts';
import type {Workers} from '../store/workers.ts';

export interface FailoverOptions {
  readonly workers: Pick<Workers, 'claimFailover'>;
  /** The name of this worker. */
  readonly worker: string;
  readonly leaseMs: number;
  readonly listApps: () => Promise<ReadonlyMap<AppName, AppRecord | Error>>;
  /** Apps of the configuration. */
  readonly has: (name: AppName) => boolean;
  /** Wakes an app, wherever. @throws CodedError */
  readonly reach: (name: AppName, trigger: Trigger) => Promise<unknown>;
  readonly isGone: (worker: string) => Promise<boolean>;
  readonly clock: Clock;
  readonly log: Log;
}

const attempts = 10;
const pauseMs = 1000;
const concurrency = 4;
const awake: ReadonlySet<string> = new Set(['reviving', 'running', 'draining', 'checkpointing']);

/** An app that its worker has not put to sleep. */
export function isAwake({state}: AppRecord): boolean {
  return awake.has(state);
}

/**
 * Wakes what ran on a worker that is gone, elsewhere, from what is in the store. One of the others does; should that one be gone before it is done,
 * another one does it again. Never throws.
 */
export async function takeOver(gone: string, options: FailoverOptions): Promise<void> {
  const {workers, worker, leaseMs, isGone, clock, log} = options;
  try {
    if (await workers.claimFailover(gone, worker, 2 * leaseMs)) return await wakeAll(gone, options);
    clock.after(3 * leaseMs, () => {
      void isGone(gone)
        .catch(() => true)
        .then(async (still) => (still ? takeOver(gone, options) : undefined));
    });
  } catch (error) {
    log.error({worker: gone, error: errorMessage(error)}, 'the apps of a worker that is gone could not be taken over; that is tried again');
    clock.after(leaseMs, () => void takeOver(gone, options));
  }
}

async function wakeAll(gone: string, {listApps, has, reach, clock, log}: FailoverOptions): Promise<void> {
  const waiting: AppName[] = [];
  for (const [name, record] of await listApps()) {
    if (!(record instanceof Error) && record.worker === gone && isAwake(record) && has(name)) waiting.push(name);
  }
  if (waiting.length > 0) log.warn({worker: gone, apps: waiting}, 'the apps that ran on a worker that is gone are woken elsewhere');
  const rest = waiting.values();
  const wakeOne = async (): Promise<void> => {
    for (const name of rest) await wake(name, {reach, clock, log});
  };
  await Promise.all(Array.from({length: concurrency}, wakeOne));
}

async function wake(name: AppName, {reach, clock, log}: Pick<FailoverOptions, 'reach' | 'clock' | 'log'>): Promise<void> {
  for (let attempt = 1; attempt <= attempts; attempt += 1) {
    try {
      await reach(name, {kind: 'failover'});
      return;
    } catch (error) {
      log.warn({app: name, attempt, error: errorMessage(error)}, 'an app of a worker that is gone could not be woken elsewhere');
    }
    await new Promise<void>((resolve) => void clock.after(pauseMs, resolve));
  }
}
