/** The user-space data path: every frontend of the configuration but those of mode nat, which the kernel's is. */
import {randomBytes} from 'node:crypto';
import type {ProcessConfig} from '../config/process-value.ts';
import type {BackendConfig, FrontendConfig, Userlist} from '../config/proxy-value.ts';
import type {ResolversConfig} from '../config/resolvers.ts';
import type {Clock} from '../core/clock.ts';
import {CodedError} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import {type BoundAddress, bindHost} from './addresses.ts';
import type {AppAccess, AppWatch} from './app-access.ts';
import type {Counters} from './counters.ts';
import {datagramChoice, datagramProxyCodec} from './datagram-rules.ts';
import {type DnsFrontendOptions, openDnsFrontend} from './dns/dns-frontend.ts';
import {type EdgeParts, type EdgePartsOptions, openEdgeParts} from './edge-parts.ts';
import type {Frontend, SessionInfo} from './frontend.ts';
import {type HttpSide, openHttpSide} from './http/open-http.ts';
import type {StatsAnswer} from './http/stats-answer.ts';
import type {ListeningSockets} from './listening-sockets.ts';
import {KnownAnswers} from './probes/known-answers.ts';
import type {Surroundings} from './samples/context.ts';
import {SessionLimit} from './session-limit.ts';
import {openTcpFrontend} from './tcp-frontend.ts';
import {openUdpFrontend} from './udp-frontend.ts';

export interface EdgeOptions {
  /** Those of mode nat are passed over. */
  readonly frontends: readonly FrontendConfig[];
  readonly backends: readonly BackendConfig[];
  readonly userlists?: readonly Userlist[];
  readonly resolvers?: readonly ResolversConfig[];
  readonly process?: Pick<ProcessConfig, 'logTag' | 'logHostname' | 'variables' | 'bufferBytes'>;
  readonly apps: AppAccess;
  /** Null: apps are not checked, and count as awake while they have sessions. */
  readonly watch?: AppWatch | null;
  /** How often sessions may wake apps; by default as often as they want. */
  readonly wakeRates?: EdgePartsOptions['wakeRates'];
  /** What names in zones of mode dns stand for, by lower-case name. */
  readonly findApp?: DnsFrontendOptions['findApp'];
  readonly log: Log;
  readonly clock: Clock;
  /** Shared with the edge that this one replaces, or is replaced by; by default it has its own sockets. */
  readonly sockets?: ListeningSockets | undefined;
  /** What shows the statistics page; by default nobody does. */
  readonly stats?: StatsAnswer;
  /** 48 bytes, likewise. */
  readonly ticketKeys?: Buffer;
  /** Likewise; by default there is none. */
  readonly limit?: SessionLimit;
  /** Likewise; by default nothing is known. */
  readonly knownAnswers?: KnownAnswers;
  /** For other threads that have the same edge, and in those: see EdgePartsOptions. */
  readonly onServers?: EdgePartsOptions['onServers'];
  readonly serverCopies?: EdgePartsOptions['serverCopies'];
  readonly threads?: EdgePartsOptions['threads'];
}

/** Disposing it closes everything at once; `drain` first to let sessions end. */
export interface Edge extends AsyncDisposable {
  /** For the runtime API. */
  readonly parts: EdgeParts;
  /** Those that are open. */
  readonly frontends: readonly Frontend[];
  /** Where the frontends really listen. */
  addresses(): readonly BoundAddress[];
  /** By frontend. */
  counters(): ReadonlyMap<string, Readonly<Counters>>;
  sessions(): Iterable<SessionInfo>;
  /** Closes the listening sockets; sessions go on. */
  stopAccepting(): void;
  /** Stops accepting, waits until all sessions have ended, and cuts those that remain after `deadlineMs`. */
  drain(deadlineMs: number): Promise<void>;
}

/** A port that a frontend also binds on all IPv4 addresses: its bind on `::` must leave IPv4 alone. */
function ipv4Ports(frontends: readonly FrontendConfig[], protocol: 'tcp' | 'udp'): ReadonlySet<number> {
  const binds = frontends.flatMap((frontend) => frontend.binds);
  return new Set(binds.filter((bind) => bind.protocol === protocol && bindHost(bind) === '0.0.0.0' && bind.port !== 0).map(({port}) => port));
}

async function openFrontends(options: EdgeOptions, {parts, http}: Pick<Opening, 'parts' | 'http'>): Promise<Frontend[]> {
  const {frontends} = options;
  const ports = {tcp: ipv4Ports(frontends, 'tcp'), udp: ipv4Ports(frontends, 'udp')};
  const opened: Frontend[] = [];
  try {
    for (const config of frontends) {
      if (config.mode === 'nat' || config.disabled) continue;
      opened.push(await openFrontend(config, {options, parts, http, ipv6Only: (protocol, port) => ports[protocol].has(port)}));
    }
    return opened;
  } catch (error) {
    for (const frontend of opened) {
      frontend.stopAccepting();
      frontend.cut();
    }
    throw error;
  }
}

interface Opening {
  readonly options: EdgeOptions;
  readonly parts: EdgeParts;
  readonly http: HttpSide;
  readonly ipv6Only: (protocol: 'tcp' | 'udp', port: number) => boolean;
}

async function openFrontend(config: FrontendConfig, {options, parts, http, ipv6Only}: Opening): Promise<Frontend> {
  const {clock, log, sockets, apps, findApp = () => null} = options;
  const {refusals} = parts;
  switch (config.mode) {
    case 'tcp':
      return openTcpFrontend({config, ipv6Only: (port) => ipv6Only('tcp', port), parts});
    case 'udp':
      return openUdpFrontend({
        config,
        choosePool: datagramChoice(config, parts),
        proxyCodec: datagramProxyCodec,
        ipv6Only: (port) => ipv6Only('udp', port),
        clock,
        log,
        refusals,
        sockets,
      });
    case 'dns':
      return openDnsFrontend({config, apps, findApp, ipv6Only: (port) => ipv6Only('udp', port), sockets, clock, log, refusals});
    case 'http':
      return http.openFrontend(config, (port) => ipv6Only('tcp', port));
    case 'nat':
      throw new CodedError('ERR_ASSERTION', `Frontend "${config.name}" is the kernel's`, {source: 'bug'});
    default:
      return config.mode satisfies never;
  }
}

/**
 * Opens all listening sockets, or none.
 * @throws CodedError ERR_BIND naming the frontend and the address; those of certificates, log targets and rules that cannot be used
 */
export async function openEdge(options: EdgeOptions): Promise<Edge> {
  await using scope = new AsyncDisposableStack();
  const opened: {frontends: readonly Frontend[]} = {frontends: []};
  const frontendLoad: Surroundings['frontendLoad'] = (name) => {
    const counters = opened.frontends.find((frontend) => frontend.name === name)?.counters;
    if (counters === undefined) return null;
    const nowMs = options.clock.monotonicMs();
    return {sessions: counters.sessions, sessionRate: counters.sessionRate.read(nowMs)};
  };
  const {
    userlists = [],
    resolvers = [],
    process = {logTag: 'picogate', logHostname: null, variables: [], bufferBytes: 16_384},
    watch = null,
    ticketKeys = randomBytes(48),
  } = options;
  const {limit = new SessionLimit(Number.POSITIVE_INFINITY), knownAnswers = new KnownAnswers()} = options;
  const parts = scope.use(await openEdgeParts({...options, userlists, resolvers, process, watch, ticketKeys, limit, knownAnswers, frontendLoad}));
  const http = scope.use(openHttpSide(options.backends, parts, options.stats ?? (() => null)));
  const frontends = await openFrontends(options, {parts, http});
  opened.frontends = frontends;
  for (const {admission} of frontends) admission?.start();
  const stopAccepting = (): void => {
    for (const frontend of frontends) frontend.stopAccepting();
  };
  const cut = (): void => {
    for (const frontend of frontends) frontend.cut();
  };
  const ended = async (): Promise<void> => {
    await Promise.all(frontends.map((frontend) => frontend.ended()));
  };
  const owned = scope.move();
  return {
    parts,
    frontends,
    addresses: () => frontends.flatMap(({addresses}) => addresses),
    counters: () => new Map(frontends.map(({name, counters}) => [name, counters])),
    *sessions() {
      for (const frontend of frontends) yield* frontend.sessions();
    },
    stopAccepting,
    async drain(deadlineMs) {
      stopAccepting();
      const cancel = options.clock.after(deadlineMs, cut);
      await ended();
      cancel();
    },
    async [Symbol.asyncDispose]() {
      stopAccepting();
      cut();
      await ended();
      await owned.disposeAsync();
    },
  };
}
