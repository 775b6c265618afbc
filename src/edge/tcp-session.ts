/** One client connection of a `mode tcp` frontend: judged by its rules, held while its app wakes, then joined to its server. */
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import {countDenied} from './counters.ts';
import type {AssignedServer, Assignment, PoolRequest, ProbedApp} from './pool/assignment.ts';
import {abandoned} from './pool/pool-errors.ts';
import {TcpProbe} from './probes/tcp-probe.ts';
import {Relay} from './relay.ts';
import type {SampleValue} from './samples/context.ts';
import {connectAssigned} from './session/connect-assigned.ts';
import type {ConnectionRule} from './session/connection-rules.ts';
import {type ConnectionTrigger, connectionTrigger} from './session/connection-trigger.ts';
import type {Entered} from './session/entrance.ts';
import {inspectContent} from './session/inspect-content.ts';
import {refuseSocket} from './session/refuse-socket.ts';
import {inspectResponse, type ResponseInspection} from './session/response-inspection.ts';
import type {BackendRoute} from './session/routes.ts';
import type {PendingStores} from './stick/stick-rules.ts';
import type {ByteStream} from './streams/byte-stream.ts';
import {refusalEnd, type TcpEnd, type TcpTimes, tcpRecord} from './tcp-record.ts';
import type {TcpSessionParts} from './tcp-session-parts.ts';

/** It is its own request for a server: most connections need no other object for it. */
export class TcpSession implements PoolRequest {
  readonly #entered: Entered;
  readonly #parts: TcpSessionParts<TcpSession>;
  readonly http = null;
  sample: SampleValue = null;
  preferred: readonly string[] = [];
  /** Null: nothing is a health check here. */
  #probe: TcpProbe | null = null;
  /** Aborted when the client leaves before it is joined; made when something is waited for. */
  #hold: AbortController | null = null;
  #hasLeft = false;
  /** To be told of the server that is chosen. */
  #pending: PendingStores | null = null;
  #route: BackendRoute | null = null;
  /** Among the sessions of its frontend. */
  place = -1;
  /** The server that was chosen last. */
  #chosen: AssignedServer | null = null;
  #assignment: Assignment | null = null;
  #server: ByteStream | null = null;
  #relay: Relay | null = null;
  #inspection: ResponseInspection | null = null;
  /** Read while the stream was judged; the server gets them first. */
  #firstBytes: Buffer | null = null;
  #isLogged = false;
  #end: TcpEnd = {cause: '-', phase: '-'};
  readonly #times: TcpTimes = {waitMs: null, connectMs: null};

  /** Takes over a connection whose stream begins. `start()` comes next. */
  constructor(entered: Entered, parts: TcpSessionParts<TcpSession>) {
    const {socket: client} = entered;
    this.#entered = entered;
    this.#parts = parts;
    client.on('close', () => this.#clientClosed());
    // What goes wrong with the client's connection is the client's; 'close' follows.
    client.on('error', () => {
      this.#ended('C', 'D');
      if (this.#relay !== null) this.#server?.resetAndDestroy();
    });
  }

  get startedMs(): number {
    return this.#entered.acceptedMs;
  }

  get facts(): Entered['facts'] {
    return this.#entered.facts;
  }

  get source(): string {
    return this.#entered.facts.source.host;
  }

  get app(): string | null {
    const target = this.#chosen?.target;
    return target?.kind === 'app' ? target.app : null;
  }

  /** Null until it is chosen. */
  get backend(): string | null {
    return this.#route?.pool.name ?? null;
  }

  get server(): string | null {
    return this.#chosen?.name ?? null;
  }

  /** `backend/server`, as far as they are chosen. */
  get serverName(): string {
    return `${this.backend ?? this.#parts.config.name}/${this.server ?? '<NOSRV>'}`;
  }

  /** When bytes moved last, or the session began (Clock.monotonicMs). */
  get lastActivityMs(): number {
    return this.#relay?.lastActivityMs ?? this.startedMs;
  }

  get isBusy(): boolean {
    return this.#relay?.isBusy ?? true;
  }

  /** Ends the session without ceremony. */
  cut(cause: TcpEnd['cause'] = 'K'): void {
    this.#ended(cause, this.#relay === null ? 'C' : '-');
    this.#entered.socket.destroy();
  }

  /** What a wake is told of its cause. */
  get trigger(): ConnectionTrigger {
    return connectionTrigger(this.#entered.facts, this.#firstBytes);
  }

  /** Of the pool. */
  get isProbe(): boolean {
    return this.#probe?.isCheck === true;
  }

  /** Of the pool. */
  placed(server: AssignedServer): void {
    this.#chosen = server;
  }

  /** Judges, waits for a server, connects and joins; returns when the session is joined, or has been refused. */
  async start(): Promise<void> {
    const {contentRules, config} = this.#parts;
    const {inspectDelayMs} = config.tcp;
    try {
      if (contentRules.length > 0 && !(await this.#accepts(contentRules, inspectDelayMs))) return;
      const route = this.#choose();
      if (route.contentRules.length > 0 && !(await this.#accepts(route.contentRules, route.inspectDelayMs ?? inspectDelayMs))) return;
      if ((route.probes !== null || this.#parts.probes !== null) && (await this.#saysNothing(route))) return;
      const assignment = this.#begin(route);
      if (!assignment.isReached) await this.#reach(route, assignment);
      this.#assigned(assignment);
      if (assignment.probed !== null && this.#answers(assignment.probed)) return;
      this.#join(await this.#connect(route, assignment), assignment);
    } catch (error) {
      if (this.#hasLeft || errorCode(error) === 'ERR_ABANDONED') this.#abandoned();
      else this.#refuse(error);
    }
  }

  #clientClosed(): void {
    this.#hasLeft = true;
    this.#probe?.[Symbol.dispose]();
    if (this.#relay === null) this.#hold?.abort(abandoned());
    this.#relay?.stop();
    this.#inspection?.stop();
    this.#over();
    const server = this.#server;
    if (server === null || server.closed) {
      this.#parts.onClosed(this);
      return;
    }
    server.on('close', () => this.#parts.onClosed(this));
    server.destroy();
  }

  /** @throws CodedError ERR_NO_BACKEND */
  #choose(): BackendRoute {
    const {config, choose} = this.#parts;
    const {context} = this.#entered;
    context.inspectionEnded = true;
    const route = choose(() => context);
    if (route === null) {
      this.#ended('S', 'C');
      throw new CodedError('ERR_NO_BACKEND', `Cannot send a session of frontend "${config.name}" anywhere: no backend is for it`, {source: 'client'});
    }
    this.#route = route;
    context.backend = route.pool.name;
    context.inspectionEnded = false;
    return route;
  }

  /** Looks at the stream until rules have decided; false: the client was refused. */
  async #accepts(rules: readonly ConnectionRule[], delayMs: number | null): Promise<boolean> {
    const {context, socket} = this.#entered;
    const {verdict, bytes} = await inspectContent(rules, {context, socket, known: this.#firstBytes, delayMs});
    this.#firstBytes = bytes;
    if (verdict !== 'reject' && verdict !== 'silent-drop') return true;
    countDenied(this.#parts.counters, this.facts);
    this.#ended('P', 'R');
    refuseSocket(socket, verdict);
    return false;
  }

  /** Whether the session is a health check is known then. True: it was one that said nothing, and is over. */
  async #saysNothing({probes, pool}: BackendRoute): Promise<boolean> {
    const {context, socket} = this.#entered;
    this.#probe = new TcpProbe([this.#parts.probes, probes], this.#parts.watch);
    this.#end = {cause: 'L', phase: 'R'}; // Most such clients end with a reset, of which the session hears first.
    this.#firstBytes = await this.#probe.judge(pool, {context, socket, bytes: this.#firstBytes});
    if (this.#probe.isOver) {
      this.#probe.countSilence(pool);
      socket.destroySoon();
      return true;
    }
    this.#end = {cause: '-', phase: '-'};
    return false;
  }

  /** True: a health check of an app that sleeps was answered. Else it lasts until the app falls asleep. */
  #answers(probed: ProbedApp): boolean {
    const over = (phase: 'R' | 'D'): void => {
      this.#ended('L', phase);
      this.#server?.destroy();
    };
    return this.#probe?.answers(probed, this.#entered.socket, over) === true;
  }

  /** @throws CodedError ERR_ABANDONED when the client left while it was judged */
  #begin(route: BackendRoute): Assignment {
    if (this.#hasLeft) throw abandoned();
    if (!route.isPlain) {
      const {servers, sample, pending} = route.preferred(this.#entered.context);
      this.preferred = servers;
      this.sample = sample;
      this.#pending = pending;
    }
    return route.pool.begin(this);
  }

  /** @throws as `Pool.assign` */
  async #reach({pool}: BackendRoute, assignment: Assignment): Promise<void> {
    const {counters} = this.#parts;
    const {socket: client} = this.#entered;
    // A client that said nothing and closes has left; one that said something may wait for its answer half-closed.
    const onEnd = (): void => void client.destroy();
    if (this.#firstBytes === null || this.#firstBytes.length === 0) client.once('end', onEnd);
    counters.waiting++;
    try {
      await pool.reach(assignment, this.#signal());
    } finally {
      counters.waiting--;
      client.off('end', onEnd);
    }
  }

  #assigned(assignment: Assignment): void {
    assignment.ends(this);
    this.#assignment = assignment;
    this.#times.waitMs = assignment.queuedMs + assignment.wakeMs;
  }

  #signal(): AbortSignal {
    this.#hold ??= new AbortController();
    if (this.#hasLeft) this.#hold.abort(abandoned());
    return this.#hold.signal;
  }

  #connect({pool}: BackendRoute, assignment: Assignment): Promise<ByteStream> {
    const {clock, mannersOf} = this.#parts;
    return connectAssigned(assignment, {
      backend: pool.config,
      mannersOf,
      context: () => this.#entered.context,
      clock,
      signal: () => this.#signal(),
      onSocket: (made) => {
        this.#server = made;
      },
      connected: (ms) => {
        this.#times.connectMs = ms;
      },
    });
  }

  #join(server: ByteStream, assignment: Assignment): void {
    const {config, clock, counters} = this.#parts;
    const {socket: client} = this.#entered;
    const backend = this.#route?.pool.config;
    assignment.busy(false);
    if (config.logAsap) this.#log();
    server.once('error', () => {
      this.#ended('S', 'D');
      client.resetAndDestroy();
    });
    server.once('close', () => {
      // After a proper end the client has still to take what is on its way to it, and to end.
      if (!server.readableEnded && client.writable) client.destroySoon();
    });
    this.#inspection = this.#inspectResponse(server);
    if (this.#inspection?.hasEnded === true) return;
    this.#relay = new Relay({
      client,
      server,
      firstBytes: this.#firstBytes,
      inspection: this.#inspection,
      clientTimeoutMs: backend?.tunnelTimeoutMs ?? config.clientTimeoutMs,
      serverTimeoutMs: backend?.tunnelTimeoutMs ?? backend?.serverTimeoutMs ?? config.clientTimeoutMs,
      clientFinTimeoutMs: config.clientFinTimeoutMs,
      serverFinTimeoutMs: backend?.serverFinTimeoutMs ?? null,
      clock,
      counters,
      onBusy: (busy) => assignment.busy(busy),
      onTimeout: (side) => {
        counters.timeouts++;
        this.#ended(side === 'client' ? 'c' : 's', 'D');
      },
    });
    this.#firstBytes = null;
  }

  #inspectResponse(joined: ByteStream): ResponseInspection | null {
    const route = this.#route;
    const server = this.#chosen;
    if (route === null || server === null || (route.isPlain && route.responseRules.length === 0)) return null;
    const {context, socket} = this.#entered;
    return inspectResponse(route, server, {
      context,
      pending: this.#pending,
      clock: this.#parts.clock,
      pass: (bytes) => this.#relay?.passOn(bytes),
      refuse: () => {
        this.#parts.counters.deniedResponses++;
        this.#ended('P', 'D');
        socket.destroySoon();
      },
      close: (bytes) => {
        if (bytes.length > 0) this.#relay?.passOn(bytes);
        socket.destroySoon();
        joined.resetAndDestroy();
      },
    });
  }

  /** The first reason is the one that counts. */
  #ended(cause: TcpEnd['cause'], phase: TcpEnd['phase']): void {
    if (this.#end.cause === '-') this.#end = {cause, phase};
  }

  /** With what rules have withheld, as HAProxy counts. */
  get #bytesOut(): number {
    return this.#entered.socket.bytesWritten + (this.#inspection?.heldBytes ?? 0);
  }

  #over(): void {
    const {socket: client, context} = this.#entered;
    const {bytesRead} = client;
    const bytesOut = this.#bytesOut;
    const {cause} = this.#end;
    const outcome = cause === 'C' || cause === 'c' ? 'client-abort' : cause === 'S' || cause === 's' ? 'server-abort' : 'done';
    this.#assignment?.release({outcome, bytesIn: bytesRead, bytesOut, responseMs: null});
    if (context.isTracked) {
      context.tracking.bytesIn(bytesRead);
      context.tracking.bytesOut(bytesOut);
    }
    this.#log();
    context[Symbol.dispose]();
  }

  /** Once. */
  #log(): void {
    const {lines, clock} = this.#parts;
    if (!lines.isWanted || this.#isLogged) return;
    const {socket: client, context, facts, acceptedMs, handshakeMs} = this.#entered;
    const record = tcpRecord({
      facts,
      times: {...this.#times, handshakeMs, totalMs: clock.monotonicMs() - acceptedMs},
      pool: this.#route?.pool ?? null,
      server: this.#chosen,
      socket: this.#server,
      assignment: this.#assignment,
      sessions: this.#parts.counters.sessions,
      bytes: {fromClient: client.bytesRead, toClient: this.#bytesOut},
      end: this.#end,
      lineNumber: lines.nextNumber,
    });
    context.server = record.server;
    this.#isLogged = lines.write(Object.assign(context, {record}));
  }

  #abandoned(): void {
    this.#parts.counters.abandoned++;
    this.#ended('C', 'C');
  }

  #refuse(error: unknown): void {
    const {counters, refusals, config} = this.#parts;
    const {cause, phase} = refusalEnd(errorCode(error), counters);
    this.#ended(cause, phase);
    refusals.report({frontend: config.name, server: this.serverName, reason: errorMessage(error)});
    const {socket} = this.#entered;
    // That an app cannot be woken must not look as if it had ended its session.
    if (this.app === null) socket.destroySoon();
    else socket.resetAndDestroy();
  }
}
