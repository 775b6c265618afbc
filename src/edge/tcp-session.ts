/** One client connection of a `mode tcp` frontend: judged by its rules, held while its app wakes, then joined to its server. */
import type {FrontendConfig} from '../config/proxy-value.ts';
import type {Clock} from '../core/clock.ts';
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import type {Trigger} from '../core/trigger.ts';
import type {Counters} from './counters.ts';
import {parseClientHello} from './inspect/client-hello.ts';
import {inspectStream} from './inspect/inspect-stream.ts';
import type {AssignedServer, Assignment, PoolRequest} from './pool/assignment.ts';
import type {RefusalLog} from './refusal-log.ts';
import {Relay} from './relay.ts';
import type {SampleContext, SampleValue} from './samples/context.ts';
import {type ConnectionRule, RuleRun} from './session/connection-rules.ts';
import type {Entered} from './session/entrance.ts';
import {refuseSocket} from './session/refuse-socket.ts';
import {ResponseInspection} from './session/response-inspection.ts';
import type {BackendRoute} from './session/routes.ts';
import {connectServer, type MannersOf} from './session/server-connections.ts';
import type {SessionLines} from './session/session-lines.ts';
import type {PendingStores} from './stick/stick-rules.ts';
import type {ByteStream} from './streams/byte-stream.ts';
import {type TcpEnd, type TcpTimes, tcpRecord} from './tcp-record.ts';

/** What all sessions of a frontend share. */
export interface TcpSessionParts {
  readonly config: FrontendConfig;
  readonly contentRules: readonly ConnectionRule[];
  readonly choose: (context: () => SampleContext) => BackendRoute | null;
  readonly mannersOf: MannersOf;
  readonly lines: SessionLines;
  readonly clock: Clock;
  readonly counters: Counters;
  readonly refusals: RefusalLog;
  /** Called when both sockets are gone. */
  readonly onClosed: (session: TcpSession) => void;
}

/** What expressions ask about must come in this time where a backend's rules wait and its frontend says nothing. */
const noDelay = {timeoutMs: 0};

/** It is its own request for a server: most connections need no other object for it. */
export class TcpSession implements PoolRequest {
  readonly #entered: Entered;
  readonly #parts: TcpSessionParts;
  readonly http = null;
  sample: SampleValue = null;
  preferred: readonly string[] = [];
  /** Aborted when the client leaves before it is joined; made when something is waited for. */
  #hold: AbortController | null = null;
  #hasLeft = false;
  /** To be told of the server that is chosen. */
  #pending: PendingStores | null = null;
  #route: BackendRoute | null = null;
  /** The server that was chosen last. */
  #chosen: AssignedServer | null = null;
  #assignment: Assignment | null = null;
  #server: ByteStream | null = null;
  #relay: Relay | null = null;
  #inspection: ResponseInspection | null = null;
  /** Read while the stream was judged; the server gets them first. */
  #firstBytes: Buffer | null = null;
  #end: TcpEnd = {cause: '-', phase: '-'};
  readonly #times: TcpTimes = {waitMs: null, connectMs: null};

  /** Takes over a connection whose stream begins. `start()` comes next. */
  constructor(entered: Entered, parts: TcpSessionParts) {
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

  /** Unlike that of any other connection of the process. */
  get id(): number {
    return this.#entered.facts.id;
  }

  get source(): string {
    return this.#entered.facts.source.host;
  }

  get sourcePort(): number {
    return this.#entered.facts.source.port;
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
  cut(): void {
    this.#ended('K', this.#relay === null ? 'C' : 'D');
    this.#entered.socket.destroy();
  }

  /** What a wake is told of its cause. The name is that of TLS that ended here, or in front of us, or passes through. */
  get trigger(): Omit<Extract<Trigger, {readonly source: string}>, 'port'> {
    const {facts} = this.#entered;
    const plain = {kind: 'connection', protocol: 'tcp', source: this.source} as const;
    const hello = this.#firstBytes === null ? null : parseClientHello(this.#firstBytes);
    const sni = facts.tls?.sni ?? facts.header?.authority ?? (hello?.kind === 'complete' ? hello.sni : null);
    return sni === null ? plain : {...plain, sni};
  }

  /** Of the pool. */
  placed(server: AssignedServer): void {
    this.#chosen = server;
    if (this.#pending !== null) this.#route?.reached(this.#pending, server);
  }

  /** Judges, waits for a server, connects and joins; returns when the session is joined, or has been refused. */
  async start(): Promise<void> {
    const {contentRules, config} = this.#parts;
    const {inspectDelayMs} = config.tcp;
    try {
      if (contentRules.length > 0 && !(await this.#accepts(contentRules, inspectDelayMs))) return;
      const route = this.#choose();
      if (route.contentRules.length > 0 && !(await this.#accepts(route.contentRules, route.inspectDelayMs ?? inspectDelayMs))) return;
      const assignment = this.#begin(route);
      if (!assignment.isReached) await this.#reach(route, assignment);
      this.#assigned(assignment);
      this.#join(await this.#connect(route, assignment), assignment);
    } catch (error) {
      if (this.#hasLeft || errorCode(error) === 'ERR_ABANDONED') this.#abandoned();
      else this.#refuse(error);
    }
  }

  #clientClosed(): void {
    this.#hasLeft = true;
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
    const known = this.#firstBytes;
    const run = new RuleRun(rules);
    const {verdict, bytes} = await inspectStream(
      socket,
      (arrived, isAll) => {
        context.payload = known === null ? arrived : Buffer.concat([known, arrived]);
        context.inspectionEnded = isAll || delayMs === null;
        const decided = run.run(context);
        return decided === 'undecided' ? undefined : decided;
      },
      delayMs === null ? noDelay : {timeoutMs: delayMs},
    );
    context.inspectionEnded = false;
    this.#firstBytes = known === null ? bytes : Buffer.concat([known, bytes]);
    if (verdict !== 'reject' && verdict !== 'silent-drop') return true;
    this.#parts.counters.deniedRequests++;
    this.#ended('P', 'R');
    refuseSocket(socket, verdict);
    return false;
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
    assignment.onCut = () => this.cut();
    this.#assignment = assignment;
    this.#times.waitMs = assignment.queuedMs + assignment.wakeMs;
  }

  #signal(): AbortSignal {
    this.#hold ??= new AbortController();
    if (this.#hasLeft) this.#hold.abort(abandoned());
    return this.#hold.signal;
  }

  async #connect({pool}: BackendRoute, assignment: Assignment): Promise<ByteStream> {
    const {clock, mannersOf} = this.#parts;
    const {context} = this.#entered;
    while (true) {
      const beganMs = clock.monotonicMs();
      try {
        if (this.#hasLeft) throw abandoned();
        const {config: server} = this.#chosen ?? {};
        if (server === undefined) throw new CodedError('ERR_ASSERTION', 'A session with a place has no server', {source: 'bug'});
        const socket = await connectServer({
          backend: pool.config,
          server,
          endpoint: assignment.endpoint,
          manners: mannersOf(server),
          context: () => context,
          clock,
          onSocket: (made) => {
            this.#server = made;
          },
        });
        this.#times.connectMs = clock.monotonicMs() - beganMs;
        assignment.connected(this.#times.connectMs);
        return socket;
      } catch (error) {
        await assignment.retry(error, this.#signal());
      }
    }
  }

  #join(server: ByteStream, assignment: Assignment): void {
    const {config, clock, counters} = this.#parts;
    const {socket: client} = this.#entered;
    const backend = this.#route?.pool.config;
    assignment.busy(false);
    server.once('error', () => {
      this.#ended('S', 'D');
      client.resetAndDestroy();
    });
    server.once('close', () => {
      // After a proper end the client has still to take what is on its way to it, and to end.
      if (!server.readableEnded && !client.destroyed) client.destroy();
    });
    this.#inspection = this.#inspectResponse();
    this.#relay = new Relay({
      client,
      server,
      firstBytes: this.#firstBytes,
      inspection: this.#inspection,
      clientTimeoutMs: config.clientTimeoutMs,
      serverTimeoutMs: backend?.serverTimeoutMs ?? config.clientTimeoutMs,
      clientFinTimeoutMs: config.clientFinTimeoutMs,
      serverFinTimeoutMs: backend?.serverFinTimeoutMs ?? null,
      tunnelTimeoutMs: backend?.tunnelTimeoutMs ?? null,
      clock,
      counters,
      onBusy: (busy) => assignment.busy(busy),
      onTimeout: (side) => {
        counters.timeouts++;
        this.#ended(side === 'client' ? 'c' : 's', 'D');
        client.destroy();
      },
    });
    this.#firstBytes = null;
  }

  #inspectResponse(): ResponseInspection | null {
    const rules = this.#route?.responseRules ?? [];
    if (rules.length === 0) return null;
    return new ResponseInspection({
      rules,
      context: this.#entered.context,
      delayMs: this.#route?.pool.config.tcp.responseDelayMs ?? null,
      clock: this.#parts.clock,
      pass: (bytes) => this.#relay?.passOn(bytes),
      refuse: () => {
        this.#ended('P', 'D');
        this.#entered.socket.destroy();
      },
    });
  }

  /** The first reason is the one that counts. */
  #ended(cause: TcpEnd['cause'], phase: TcpEnd['phase']): void {
    if (this.#end.cause === '-') this.#end = {cause, phase};
  }

  #over(): void {
    const {lines, clock} = this.#parts;
    const {socket: client, context, facts, acceptedMs, handshakeMs} = this.#entered;
    const {bytesRead, bytesWritten} = client;
    const {cause} = this.#end;
    const outcome = cause === 'C' || cause === 'c' ? 'client-abort' : cause === 'S' || cause === 's' ? 'server-abort' : 'done';
    this.#assignment?.release({outcome, bytesIn: bytesRead, bytesOut: bytesWritten, responseMs: null});
    if (context.isTracked) {
      context.tracking.bytesIn(bytesRead);
      context.tracking.bytesOut(bytesWritten);
    }
    if (lines.isWanted) {
      const record = tcpRecord({
        facts,
        times: {...this.#times, handshakeMs, totalMs: clock.monotonicMs() - acceptedMs},
        pool: this.#route?.pool ?? null,
        server: this.#chosen,
        socket: this.#server,
        assignment: this.#assignment,
        sessions: this.#parts.counters.sessions,
        bytes: {fromClient: bytesRead, toClient: bytesWritten},
        end: this.#end,
        lineNumber: lines.nextNumber,
      });
      context.record = record;
      context.server = record.server;
      lines.write(Object.assign(context, {record}));
    }
    context[Symbol.dispose]();
  }

  #abandoned(): void {
    this.#parts.counters.abandoned++;
    this.#ended('C', 'C');
  }

  #refuse(error: unknown): void {
    const {counters, refusals, config} = this.#parts;
    const code = errorCode(error);
    if (code === 'ERR_QUEUE_FULL' || code === 'ERR_WAKE_RATE' || code === 'ERR_NO_BACKEND') counters.refused++;
    else if (code === 'ERR_CONNECT') counters.connectFailures++;
    else counters.wakeFailures++;
    this.#ended(
      code === 'ERR_CONNECT_TIMEOUT' || code === 'ERR_QUEUE_TIMEOUT' ? 's' : 'S',
      code === 'ERR_QUEUE_TIMEOUT' || code === 'ERR_QUEUE_FULL' ? 'Q' : 'C',
    );
    refusals.report({frontend: config.name, server: this.serverName, reason: errorMessage(error)});
    this.#entered.socket.resetAndDestroy();
  }
}

function abandoned(): CodedError<'ERR_ABANDONED'> {
  return new CodedError('ERR_ABANDONED', 'The client has left', {source: 'client'});
}
