/**
 * What an app starts from where several workers share it. Nothing of it may be touched without its lease, since another worker may be at work; and
 * what another worker has not brought to the store yet is to be had from that one only.
 */
import type {AppConfig} from '../config/value.ts';
import {assert, CodedError} from '../core/errors.ts';
import type {AppName, FencingToken} from '../core/ids.ts';
import type {Trigger} from '../core/trigger.ts';
import type {AppRecord} from '../store/app-record.ts';
import type {Leases} from '../store/lease.ts';
import type {Rest} from './instance.ts';
import type {Origin} from './late-rest.ts';
import {parseDetails} from './records.ts';
import {type Findings, findApps, type Recovered, type RecoverOptions, readMeta, recover} from './recover.ts';

/** What must be known of the other workers. */
export interface SharedApps {
  /** A client of an app that is about to move waits for an answer at another worker's edge. @throws CodedError */
  readonly isUnfinished: (app: AppName) => Promise<boolean>;
  /** Whether the worker is heard of, or was stopped in good order: what only it has is not lost. */
  readonly isExpected: (worker: string) => Promise<boolean>;
  /** Whether the app runs nowhere else, and may be woken on this worker. @throws CodedError */
  readonly mayWakeHere: (app: AppName) => Promise<boolean>;
  /** Wakes the app, wherever. @throws CodedError */
  readonly reach: (app: AppName, trigger: Trigger) => Promise<unknown>;
  /** @throws CodedError ERR_WORKER_DRAINED while nothing may be woken here */
  readonly admit: () => void;
}

export interface SharedRecovery {
  readonly leases: Leases;
  readonly leaseMs: number;
  readonly shared: SharedApps;
}

/**
 * For the start of a worker: only what this one had last is looked for, under a lease that is given back. What others had is found out when it is
 * needed here.
 * @returns the token of that lease, and the newest before; null when nothing was found out, and `rest` is nothing to start from
 */
export async function recoverOwn(
  options: RecoverOptions & Pick<SharedRecovery, 'leases' | 'leaseMs'>,
  config: AppConfig,
  {record}: Findings,
): Promise<{readonly recovered: Recovered; readonly token: FencingToken | null; readonly previous: number | null}> {
  const {leases, leaseMs, worker} = options;
  const {name} = config;
  const unknown: Recovered = {record, rest: {kind: 'files', layers: []}, outage: null};
  if (parseDetails(record.details).home !== worker) return {recovered: unknown, token: null, previous: null};
  const acquired = await leases.acquire(name, {worker, ttlMs: leaseMs, takeOverOwn: true});
  if (acquired.kind === 'held') return {recovered: unknown, token: null, previous: null};
  const {token, previous} = acquired;
  try {
    return {recovered: await recoverAnew(options, config), token, previous};
  } catch (error) {
    if (!(error instanceof CodedError && error.code === 'ERR_STORE_FAILED' && error.retryable)) throw error;
    return {recovered: unknown, token: null, previous: null};
  } finally {
    await leases.release(name, {worker, token});
  }
}

/** Under the lease of the app. @throws CodedError as `recover()`; ERR_STORE_FAILED (retryable) while the store cannot be reached */
async function recoverAnew(options: RecoverOptions, config: AppConfig): Promise<Recovered> {
  await options.pager.refresh(config.name);
  const [found] = await findApps(options, [config]);
  assert(found !== undefined, 'An app that was asked for was not found');
  return recover(options, config, found);
}

/**
 * For a wake, under the app's lease: what is in the store now. When the newest checkpoint is not there, its worker is waited for as long as it may
 * come back; without it the app starts from the last one that was brought to the store.
 * @throws CodedError ERR_NOT_STORED, ERR_STORE_UNREACHABLE (both retryable), and as `recover()`
 */
export async function originNow(options: RecoverOptions & Pick<SharedRecovery, 'shared'>, config: AppConfig): Promise<Origin> {
  const {store, worker, shared, log} = options;
  const {name} = config;
  const before = await store.readApp(name);
  const {record, rest, outage} = await recoverAnew(options, config);
  if (outage?.isUnknown === true) throw new CodedError('ERR_STORE_UNREACHABLE', outage.message, {source: 'host', retryable: true});
  const origin: Origin = {rest, pointer: record.generation, ...(before === null ? {} : {recorded: before})};
  if (before === null || isHere(rest, before)) return origin;
  const {home} = parseDetails(before.details);
  if (home === worker) return origin;
  if (home !== null && (await shared.isExpected(home))) {
    const found = `what it starts from is on worker "${home}" and not in the store yet`;
    throw new CodedError('ERR_NOT_STORED', `Cannot wake app "${name}" here: ${found}`, {source: 'host', retryable: true});
  }
  const instead = rest.kind === 'checkpoint' ? rest : await newestStored(options, name);
  log.error({app: name, home, pointer: before.generation, instead}, 'what the app had last is lost with its worker; it starts from what is in the store');
  return {...origin, rest: instead};
}

/** Whether that is what the app had last, and not only on the disk of another worker. */
function isHere(rest: Rest, {generation}: AppRecord): boolean {
  return rest.kind === 'checkpoint' ? rest.generation >= (generation ?? 0) : rest.layers.length === 0;
}

async function newestStored(options: RecoverOptions, name: AppName): Promise<Rest> {
  const newest = (await options.pager.generations(name)).at(-1);
  if (newest === undefined) return {kind: 'files', layers: []};
  return {kind: 'checkpoint', generation: newest, meta: (await readMeta(options, name, newest)).meta};
}
