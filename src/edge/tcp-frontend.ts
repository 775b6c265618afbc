/** A `mode tcp` frontend: its listeners and its sessions, at most `maxconn` of them; more clients wait in the backlog. */
import type {FrontendConfig} from '../config/proxy-value.ts';
import {MemberList} from '../core/member-list.ts';
import type {BoundAddress} from './addresses.ts';
import {Admission} from './admission.ts';
import {newCounters} from './counters.ts';
import type {EdgeParts} from './edge-parts.ts';
import type {CountedListener, Frontend, SessionInfo} from './frontend.ts';
import {compileProbes} from './probes/probe-rules.ts';
import {proxyRules} from './session/connection-rules.ts';
import {type Entered, openEntrance} from './session/entrance.ts';
import {compileBackendChoice} from './session/routes.ts';
import {openSessionLines} from './session/session-lines.ts';
import {TcpSession} from './tcp-session.ts';
import type {TcpSessionParts} from './tcp-session-parts.ts';

export interface TcpFrontendOptions {
  readonly config: FrontendConfig;
  /** Which of the binds must leave IPv4 to another one. */
  readonly ipv6Only: (port: number) => boolean;
  readonly parts: EdgeParts;
}

/** @throws CodedError ERR_BIND, those of certificates and of the compiler; what was bound before is closed again */
export async function openTcpFrontend({config, ipv6Only, parts}: TcpFrontendOptions): Promise<Frontend> {
  const {compiler, clock, refusals, limit} = parts;
  const counters = newCounters();
  const sessions = new MemberList<TcpSession>();
  const whenEmpty: (() => void)[] = [];
  const admission = new Admission({maxconn: config.maxconn, sessionRateLimit: config.sessionRateLimit, counters, limit, clock});
  const addresses: BoundAddress[] = [];
  const listeners: CountedListener[] = [];
  const rules = proxyRules(config.name, parts);
  const shared = {config, lines: await openSessionLines(config, parts), counters};
  const sessionParts: TcpSessionParts<TcpSession> = {
    ...shared,
    contentRules: rules(config.tcp.content, 'session'),
    choose: compileBackendChoice(config, compiler, parts.routeOf),
    probes: compileProbes(config.probes, (condition) => compiler.compileCondition(condition)),
    watch: parts.watch,
    mannersOf: parts.mannersOf,
    clock,
    refusals,
    onClosed(session) {
      sessions.delete(session);
      admission.left();
      if (sessions.size === 0) for (const resolve of whenEmpty.splice(0)) resolve();
    },
  };

  const admit = (entered: Entered): void => {
    const session = new TcpSession(entered, sessionParts);
    sessions.add(session);
    admission.entered();
    void session.start();
  };
  const common = {
    ...parts.entrance,
    ...shared,
    connectionRules: rules(config.tcp.connection, 'connection'),
    sessionRules: rules(config.tcp.session, 'session'),
    enter: admit,
  };
  try {
    for (const bind of config.binds) {
      const entrance = await openEntrance({...common, bind, ipv6Only: ipv6Only(bind.port)});
      admission.add(entrance);
      addresses.push(entrance.address);
      if (entrance.counted !== null) listeners.push(entrance.counted);
    }
  } catch (error) {
    admission.stop();
    for (const session of sessions) session.cut();
    await shared.lines[Symbol.asyncDispose]();
    throw error;
  }
  return {
    name: config.name,
    addresses,
    counters,
    listeners,
    admission,
    stopAccepting: () => admission.stop(),
    *sessions() {
      for (const session of [...sessions].sort((a, b) => a.facts.id - b.facts.id)) yield sessionInfo(session, config.name);
    },
    async ended() {
      if (sessions.size > 0) await new Promise<void>((resolve) => void whenEmpty.push(resolve));
      await shared.lines[Symbol.asyncDispose]();
    },
    cut() {
      for (const session of sessions) session.cut();
    },
  };
}

function sessionInfo(session: TcpSession, frontend: string): SessionInfo {
  const {facts, backend, server, app, startedMs, lastActivityMs, isBusy} = session;
  const {id, source} = facts;
  const where = {source: source.host, sourcePort: source.port};
  return {...where, id, frontend, protocol: 'tcp', backend, server, app, startedMs, lastActivityMs, busy: isBusy, cut: () => session.cut()};
}
