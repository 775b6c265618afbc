/** A section `resolvers` at work: keeps the addresses of servers up to date. Servers of one name share its questions. */
import {readFile} from 'node:fs/promises';
import type {ResolversConfig} from '../../config/resolvers.ts';
import type {Clock} from '../../core/clock.ts';
import {CodedError} from '../../core/errors.ts';
import type {Nameserver} from '../dns/ask.ts';
import {nameKey} from '../dns/name.ts';
import {type LookupResult, lookUp} from './lookup.ts';
import {type ResolutionStatus, type ResolvedAddress, startResolution} from './resolution.ts';
import {parseResolvConf} from './resolv-conf.ts';

export interface Watch {
  /** A host name; for `service` the owner of SRV records, as `server-template` has it. */
  readonly name: string;
  readonly kind: 'address' | 'service';
  readonly prefer: 'ipv4' | 'ipv6';
  /** Told when the list changes, and at once when something is known. Empty: the server cannot be reached by this name any more. */
  readonly onAddresses: (addresses: readonly ResolvedAddress[], status: ResolutionStatus) => void;
}

export interface Resolvers extends Disposable {
  /**
   * Until the returned handle is disposed.
   * @throws CodedError ERR_BAD_DNS_NAME
   */
  watch(watch: Watch): Disposable;
}

export interface ResolversOptions {
  readonly config: ResolversConfig;
  readonly clock: Clock;
  /** Where `parse-resolv-conf` finds them. */
  readonly resolvConf?: string;
}

/** Questions of a section at a time; hundreds of servers may be due at once. */
const maxLookups = 64;

/** @throws CodedError ERR_RESOLV_CONF, ERR_NO_NAMESERVER */
export async function openResolvers({config, clock, resolvConf = '/etc/resolv.conf'}: ResolversOptions): Promise<Resolvers> {
  const nameservers = await findNameservers(config, resolvConf);
  const over = new AbortController();
  const limited = limitTo(maxLookups);
  const shared = new Map<string, SharedResolution>();

  return {
    watch({name, kind, prefer, onAddresses}) {
      const key = `${kind} ${prefer} ${name.toLowerCase()}`;
      let resolution = shared.get(key);
      if (resolution === undefined) {
        const watchers = new Set<Watch['onAddresses']>();
        const started = startResolution({
          name: nameKey(name),
          kind,
          prefer,
          config,
          clock,
          lookUp: (asked, type) => limited(() => lookUp(asked, type, {nameservers, config, clock, signal: over.signal})),
          onAddresses: (addresses, status) => {
            for (const tell of watchers) tell(addresses, status);
          },
        });
        resolution = {watchers, started};
        shared.set(key, resolution);
      }
      const {watchers, started} = resolution;
      const tell: Watch['onAddresses'] = (addresses, status) => onAddresses(addresses, status);
      watchers.add(tell);
      if (started.addresses().length > 0) tell(started.addresses(), 'valid');
      return {
        [Symbol.dispose]() {
          watchers.delete(tell);
          if (watchers.size > 0 || shared.get(key)?.watchers !== watchers) return;
          started[Symbol.dispose]();
          shared.delete(key);
        },
      };
    },
    [Symbol.dispose]() {
      over.abort();
      for (const {started} of shared.values()) started[Symbol.dispose]();
      shared.clear();
    },
  };
}

interface SharedResolution {
  readonly watchers: Set<Watch['onAddresses']>;
  readonly started: ReturnType<typeof startResolution>;
}

async function findNameservers(config: ResolversConfig, resolvConf: string): Promise<readonly Nameserver[]> {
  const written = config.parseResolvConf ? [...config.nameservers, ...parseResolvConf(await readText(config.name, resolvConf))] : config.nameservers;
  if (written.length === 0) {
    throw new CodedError('ERR_NO_NAMESERVER', `Cannot use resolvers "${config.name}": no name server is known`, {source: 'host'});
  }
  return written.map(({host, port, protocol}) => ({host, port, protocol: protocol === 'tcp' ? 'tcp' : null}));
}

async function readText(name: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new CodedError('ERR_RESOLV_CONF', `Cannot use resolvers "${name}": ${path} cannot be read`, {source: 'host', cause});
  }
}

/** Runs at most so many at a time, the others in turn. */
function limitTo(limit: number): (action: () => Promise<LookupResult>) => Promise<LookupResult> {
  const waiting: (() => void)[] = [];
  let free = limit;
  return async (action) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => void waiting.push(resolve));
    try {
      return await action();
    } finally {
      // Who waits takes the place over; it is not free in between.
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  };
}
