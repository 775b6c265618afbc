/** The user-space data path: every `mode tcp` and `mode udp` frontend of the configuration. */
import type {BackendConfig, FrontendConfig} from '../config/proxy-value.ts';
import type {Clock} from '../core/clock.ts';
import {assert} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import {type BoundAddress, bindHost} from './addresses.ts';
import type {AppAccess} from './app-access.ts';
import type {Counters} from './counters.ts';
import type {Frontend, SessionInfo} from './frontend.ts';
import type {ListeningSockets} from './listening-sockets.ts';
import {openRefusalLog} from './refusal-log.ts';
import {openTcpFrontend} from './tcp-frontend.ts';
import {openUdpFrontend} from './udp-frontend.ts';
import {serversInTurn} from './waiting.ts';

export interface EdgeOptions {
  /** Those of other modes than tcp and udp are passed over. */
  readonly frontends: readonly FrontendConfig[];
  readonly backends: readonly BackendConfig[];
  readonly apps: AppAccess;
  readonly log: Log;
  readonly clock: Clock;
  /** Shared with the edge that this one replaces, or is replaced by; by default it has its own sockets. */
  readonly sockets?: ListeningSockets | undefined;
}

/** Disposing it closes everything at once; `drain` first to let sessions end. */
export interface Edge extends AsyncDisposable {
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

async function openFrontends(options: EdgeOptions, refusals: ReturnType<typeof openRefusalLog>): Promise<Frontend[]> {
  const {frontends, backends, apps, log, clock, sockets} = options;
  const ports = {tcp: ipv4Ports(frontends, 'tcp'), udp: ipv4Ports(frontends, 'udp')};
  const opened: Frontend[] = [];
  try {
    for (const config of frontends) {
      if (config.mode !== 'tcp' && config.mode !== 'udp') continue;
      const backend = backends.find(({name}) => name === config.defaultBackend);
      assert(backend !== undefined, `Frontend "${config.name}" has no backend "${config.defaultBackend}"`);
      const {mode} = config;
      const common = {
        config,
        chooseServer: serversInTurn(backend, apps, clock),
        ipv6Only: (port: number) => ports[mode].has(port),
        clock,
        log,
        refusals,
        sockets,
      };
      opened.push(mode === 'tcp' ? await openTcpFrontend(common) : await openUdpFrontend(common));
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

/**
 * Opens all listening sockets, or none.
 * @throws CodedError ERR_BIND naming the frontend and the address
 */
export async function openEdge(options: EdgeOptions): Promise<Edge> {
  const refusals = openRefusalLog(options.log, options.clock);
  const frontends = await openFrontends(options, refusals);
  const stopAccepting = (): void => {
    for (const frontend of frontends) frontend.stopAccepting();
  };
  const cut = (): void => {
    for (const frontend of frontends) frontend.cut();
  };
  const ended = async (): Promise<void> => {
    await Promise.all(frontends.map((frontend) => frontend.ended()));
  };
  return {
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
      refusals[Symbol.dispose]();
    },
  };
}
