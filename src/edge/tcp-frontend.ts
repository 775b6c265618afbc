/** A `mode tcp` frontend: its listeners and its sessions, at most `maxconn` of them; more clients wait in the backlog. */
import type {Socket} from 'node:net';
import type {FrontendConfig} from '../config/proxy-value.ts';
import type {Clock} from '../core/clock.ts';
import {errorMessage} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import type {BoundAddress} from './addresses.ts';
import {newCounters} from './counters.ts';
import type {Frontend} from './frontend.ts';
import type {ListeningSockets} from './listening-sockets.ts';
import type {RefusalLog} from './refusal-log.ts';
import {openTcpListener, type TcpListener} from './tcp-listener.ts';
import {TcpSession} from './tcp-session.ts';
import type {Waiting} from './waiting.ts';

export interface TcpFrontendOptions {
  readonly config: FrontendConfig;
  readonly chooseServer: () => Waiting;
  /** Which of the binds must leave IPv4 to another one. */
  readonly ipv6Only: (port: number) => boolean;
  /** Shared with other generations of the configuration. */
  readonly sockets?: ListeningSockets | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly refusals: RefusalLog;
}

/** @throws CodedError ERR_BIND; what was bound before is closed again */
export async function openTcpFrontend(options: TcpFrontendOptions): Promise<Frontend> {
  const {config, clock, log, refusals} = options;
  const counters = newCounters();
  const sessions = new Set<TcpSession>();
  const listeners: TcpListener[] = [];
  let accepting = true;

  const admit = (client: Socket): void => {
    counters.accepted++;
    const session = new TcpSession({
      client,
      frontend: config.name,
      clientTimeoutMs: config.clientTimeoutMs,
      waiting: options.chooseServer(),
      clock,
      counters,
      refusals,
    });
    sessions.add(session);
    counters.sessions = sessions.size;
    if (sessions.size >= config.maxconn) for (const listener of listeners) listener.pause();
    void session.start();
    void session.closed.then(() => {
      sessions.delete(session);
      counters.sessions = sessions.size;
      if (accepting && sessions.size < config.maxconn) for (const listener of listeners) listener.resume();
    });
  };

  const stopAccepting = (): void => {
    accepting = false;
    for (const listener of listeners) listener[Symbol.dispose]();
  };
  const addresses: BoundAddress[] = [];
  try {
    for (const bind of config.binds) {
      const listener = await openTcpListener({
        frontend: config.name,
        bind,
        ipv6Only: options.ipv6Only(bind.port),
        sockets: options.sockets,
        onConnection: admit,
        onError: (error) => log.error({frontend: config.name, reason: errorMessage(error)}, 'listener'),
      });
      listeners.push(listener);
      addresses.push({frontend: config.name, protocol: 'tcp', host: listener.host, port: listener.port});
      if (sessions.size >= config.maxconn) listener.pause();
    }
  } catch (error) {
    stopAccepting();
    for (const session of sessions) session.cut();
    throw error;
  }
  return {
    name: config.name,
    addresses,
    counters,
    stopAccepting,
    *sessions() {
      for (const {app, source, startedMs, lastActivityMs, isBusy} of sessions) {
        yield {frontend: config.name, protocol: 'tcp', app, source, startedMs, lastActivityMs, busy: isBusy};
      }
    },
    async ended() {
      while (sessions.size > 0) await Promise.all([...sessions].map(({closed}) => closed));
    },
    cut() {
      for (const session of sessions) session.cut();
    },
  };
}
