/**
 * What is known of one name, asked for again and again. While name servers fail, the last good answer holds for as long as `hold` says for that kind of
 * failure (HAProxy's manual, 5.3.2).
 */
import type {ResolversConfig} from '../../config/resolvers.ts';
import type {Clock} from '../../core/clock.ts';
import {type NameKey, rootKey} from '../dns/name.ts';
import {recordType} from '../dns/protocol.ts';
import {type AnswerRecord, readAddress, readService, recordsOf, type ServiceRecord} from '../dns/read-answer.ts';
import type {LookupFailure, LookupResult} from './lookup.ts';

/** Where a server may be. Those of SRV records have a port, and a weight of 1 to 256 as servers have it. */
export interface ResolvedAddress {
  readonly address: string;
  readonly port: number | null;
  readonly weight: number | null;
}

export interface ResolutionOptions {
  readonly name: NameKey;
  readonly kind: 'address' | 'service';
  readonly prefer: 'ipv4' | 'ipv6';
  readonly config: ResolversConfig;
  readonly lookUp: (name: NameKey, type: number) => Promise<LookupResult>;
  readonly clock: Clock;
  /** Called when the list has changed: known addresses keep their places, new ones come last. Empty: nothing is known any more, and why. */
  readonly onAddresses: (addresses: readonly ResolvedAddress[], status: ResolutionStatus) => void;
}

export type ResolutionStatus = 'valid' | LookupFailure;

/** Addresses of one name that are kept; a template has no more servers. */
const maxAddresses = 1024;

type Found =
  /** `complete`: what is not among them is not there any more. */
  {readonly status: 'valid'; readonly addresses: readonly ResolvedAddress[]; readonly complete: boolean} | {readonly status: LookupFailure};

export function startResolution(options: ResolutionOptions): Disposable & {addresses(): readonly ResolvedAddress[]} {
  const {config, clock} = options;
  /** By address and port, with when it was last in an answer. */
  const known = new Map<string, {readonly found: ResolvedAddress; readonly seenMs: number}>();
  let published: readonly ResolvedAddress[] = [];
  let validMs = Number.NEGATIVE_INFINITY;
  let stopped = false;
  let cancel: () => void = () => undefined;

  const publish = (status: ResolutionStatus): void => {
    const addresses = [...known.values()].map(({found}) => found);
    if (addresses.length === published.length && addresses.every((address, index) => isSame(address, published[index]))) return;
    published = addresses;
    options.onAddresses(addresses, status);
  };

  const learn = (result: Found): void => {
    const nowMs = clock.monotonicMs();
    if (result.status === 'valid') {
      validMs = nowMs;
      for (const found of result.addresses) {
        const key = `${found.address} ${found.port ?? ''}`;
        if (known.size < maxAddresses || known.has(key)) known.set(key, {found, seenMs: nowMs});
      }
      for (const [key, {seenMs}] of result.complete ? known : []) if (seenMs < nowMs && nowMs - seenMs >= config.hold.obsolete) known.delete(key);
    } else if (nowMs - validMs >= config.hold[result.status]) {
      known.clear();
    }
    publish(result.status);
  };

  const run = async (): Promise<void> => {
    const result = await resolve(options);
    if (stopped) return;
    learn(result);
    cancel = clock.after(result.status === 'valid' ? config.hold.valid : config.timeouts.resolveMs, () => void run());
  };
  void run();
  return {
    addresses: () => published,
    [Symbol.dispose]() {
      stopped = true;
      cancel();
    },
  };
}

function isSame(a: ResolvedAddress, b: ResolvedAddress | undefined): boolean {
  return a.address === b?.address && a.port === b.port && a.weight === b.weight;
}

async function resolve(options: ResolutionOptions): Promise<Found> {
  if (options.kind === 'address') return resolveAddresses(options.name, options);
  const result = await options.lookUp(options.name, recordType.SRV);
  if (result.status !== 'valid') return result;
  const {message, answer} = result;
  const services = recordsOf(message, answer, options.name, recordType.SRV).map((record) => readService(message, record));
  // A target that is the root says that there is no such service.
  const usable = services.filter((service) => service !== null).filter(({target}) => target !== rootKey);
  if (usable.length === 0) return {status: 'other'};
  const targets = new Map<NameKey, Promise<Found>>();
  for (const {target} of usable.slice(0, maxAddresses)) {
    if (!targets.has(target)) targets.set(target, glueOf(result, target, options.prefer) ?? resolveAddresses(target, options));
  }
  const addresses: ResolvedAddress[] = [];
  let complete = true;
  for (const service of usable) {
    const found = await targets.get(service.target);
    if (found?.status === 'valid') addresses.push(...found.addresses.slice(0, 1).map(({address}) => placed(address, service)));
    else if (found?.status !== 'nx') complete = false;
  }
  return {status: 'valid', addresses, complete};
}

/** SRV weights are 0 to 65535, those of servers 1 to 256. */
function placed(address: string, {port, weight}: ServiceRecord): ResolvedAddress {
  return {address, port, weight: Math.trunc(weight / 256) + 1};
}

/** Addresses that came with the answer. */
function glueOf(result: LookupResult & {status: 'valid'}, target: NameKey, prefer: 'ipv4' | 'ipv6'): Promise<Found> | null {
  for (const type of familiesOf(prefer)) {
    const records = result.answer.additional.filter((record) => record.owner === target && record.type === type);
    const addresses = addressesOf(result.message, records);
    if (addresses.length > 0) return Promise.resolve({status: 'valid', addresses, complete: true});
  }
  return null;
}

/** Of the preferred family, and of the other one when it has none. */
async function resolveAddresses(name: NameKey, {prefer, lookUp}: Pick<ResolutionOptions, 'prefer' | 'lookUp'>): Promise<Found> {
  let failure: LookupFailure = 'other';
  for (const type of familiesOf(prefer)) {
    const result = await lookUp(name, type);
    if (result.status === 'nx' || result.status === 'timeout') return result;
    if (result.status !== 'valid') {
      failure = result.status;
      continue;
    }
    const addresses = addressesOf(result.message, recordsOf(result.message, result.answer, name, type));
    if (addresses.length > 0) return {status: 'valid', addresses, complete: true};
  }
  return {status: failure};
}

function familiesOf(prefer: 'ipv4' | 'ipv6'): readonly number[] {
  return prefer === 'ipv4' ? [recordType.A, recordType.AAAA] : [recordType.AAAA, recordType.A];
}

function addressesOf(message: Buffer, records: readonly AnswerRecord[]): readonly ResolvedAddress[] {
  return records.flatMap((record) => {
    const address = readAddress(message, record);
    return address === null ? [] : [{address, port: null, weight: null}];
  });
}
