/**
 * One `criu swrk`: a CRIU that serves one request of its parent over a socket pair, unix(7) SOCK_SEQPACKET. It may wait
 * for that request as long as it likes, so it can be started, and put where it has to work, ahead of time.
 *
 * It is not killed when the gateway dies: in the middle of a dump that would leave the tasks as they are, while a CRIU
 * that finds its socket closed undoes the dump.
 */
import {once} from 'node:events';
import {type Daemon, startDaemon} from '../core/command.ts';
import {CodedError} from '../core/errors.ts';
import {close, recvAsync, socketpair, socketType, trySend} from '../core/libc.ts';
import {withinNetns} from '../core/netns.ts';
import type {Argv} from '../core/tools.ts';
import {type CriuRequest, type CriuResponse, decodeResponse, encodeRequest, rpc} from './criu-rpc.ts';
import {killCriu, reapAll} from './process-tree.ts';
import {openStandardFiles, type StandardFiles} from './standard-files.ts';

/** Where CRIU finds its socket and the app's standard files, which a restore needs. */
const socketDescriptor = 3;
export const inputDescriptor = 4;
export const outputDescriptor = 5;
const responseBytesMax = 64 * 1024;
const noSignal = 0x4000;
/** After its answer. One whose tasks were refused waits for them for ever now and then, though it has killed them itself (4.2.1). */
const endsWithinMs = 2000;
/**
 * CRIU stops its tasks at the end of a restore by a hardware breakpoint where it can. The first one after a second or so
 * makes the kernel wait for an RCU grace period, 4 to 14 ms. This makes CRIU take the way it takes on processors without
 * breakpoints (FI_NO_BREAKPOINTS in criu/include/fault-injection.h).
 */
const withoutBreakpoints = {CRIU_FAULT: '130'} as const;

export interface SessionOptions {
  readonly criu: Argv;
  readonly netnsPath: string;
  readonly standardFiles: StandardFiles;
}

export interface Exchange {
  readonly request: CriuRequest;
  /** Answers a notification: false fails what CRIU does. */
  readonly onNotification: (script: string, pid: number | undefined) => Promise<boolean>;
  /** Then CRIU is killed, after a call of `beforeKill`. Default: never. */
  readonly timeoutMs?: number;
  readonly beforeKill?: () => void;
  readonly signal?: AbortSignal | undefined;
}

export class CriuSession implements AsyncDisposable {
  readonly #daemon: Daemon;
  readonly #socket: number;
  readonly #ended: Promise<void>;
  #open = true;
  #answered = false;
  /** Of a CRIU that was killed: tasks of a restore that it had begun. */
  readonly #orphans: number[] = [];

  private constructor(daemon: Daemon, socket: number) {
    this.#daemon = daemon;
    this.#socket = socket;
    this.#ended = this.alive ? once(daemon.child, 'exit').then(() => undefined) : Promise.resolve();
  }

  static async start({criu, netnsPath, standardFiles}: SessionOptions): Promise<CriuSession> {
    using files = openStandardFiles(standardFiles);
    const [ours, theirs] = socketpair(socketType.sequenced | socketType.closeOnExec);
    try {
      const argv: Argv = [...criu, 'swrk', String(socketDescriptor)];
      // startDaemon() forks before it first awaits, so the child is born inside the namespace.
      const started = withinNetns(netnsPath, () =>
        startDaemon(argv, {
          stdio: ['ignore', 'ignore', 'pipe', theirs, files.input, files.output],
          env: {...process.env, ...withoutBreakpoints},
          dieWithParent: false,
        }),
      );
      return new CriuSession(await started, ours);
    } catch (error) {
      close(ours);
      throw error;
    } finally {
      close(theirs);
    }
  }

  get pid(): number {
    return this.#daemon.pid;
  }

  /** False once CRIU has ended. */
  get alive(): boolean {
    const {child} = this.#daemon;
    return child.exitCode === null && child.signalCode === null;
  }

  /** Also of one that leaves a task, which has its standard error. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /**
   * Sends the request and resolves to the answer, after which CRIU ends by itself.
   * @throws CodedError ERR_CRIU_ENDED without an answer, ERR_CRIU_TIMEOUT; or the reason of `signal`
   */
  async exchange({request, onNotification, timeoutMs, beforeKill, signal}: Exchange): Promise<CriuResponse> {
    signal?.throwIfAborted();
    let lateMs: number | undefined;
    const kill = (): void => this.#kill();
    const expire = (): void => {
      lateMs = timeoutMs;
      beforeKill?.();
      kill();
    };
    const timer = timeoutMs === undefined ? undefined : setTimeout(expire, timeoutMs);
    signal?.addEventListener('abort', kill, {once: true});
    try {
      this.#send(request);
      for (;;) {
        const response = await this.#receive();
        if (response === undefined) throw await this.#endedSilently(lateMs, signal);
        if (response.type !== rpc.notify) {
          this.#answered = true;
          return response;
        }
        this.#send({type: rpc.notify, notifySuccess: await onNotification(response.script ?? '', response.pid)});
      }
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', kill);
    }
  }

  #send(request: CriuRequest): void {
    // A CRIU that has ended is found by the next receive.
    trySend(this.#socket, encodeRequest(request), noSignal);
  }

  async #receive(): Promise<CriuResponse | undefined> {
    const data = Buffer.alloc(responseBytesMax);
    try {
      const received = await recvAsync(this.#socket, data);
      return received === 0 ? undefined : decodeResponse(data.subarray(0, received));
    } catch (error) {
      if (error instanceof CodedError && error.code === 'ERR_SYSTEM_CALL') return undefined; // Reset: it was killed.
      throw error;
    }
  }

  async #endedSilently(lateMs: number | undefined, signal: AbortSignal | undefined): Promise<unknown> {
    const {exitCode, signal: killedBy, stderr} = await this.#daemon.exited;
    await reapAll(this.#orphans.splice(0));
    if (signal?.aborted) return signal.reason;
    if (lateMs !== undefined) return new CodedError('ERR_CRIU_TIMEOUT', `CRIU had not finished after ${lateMs} ms`, {source: 'host'});
    const how = killedBy === null ? `exit status ${exitCode}` : `killed by ${killedBy}`;
    return new CodedError('ERR_CRIU_ENDED', `CRIU ended without an answer (${how})${stderr.trim() === '' ? '' : `: ${stderr.trim()}`}`, {source: 'host'});
  }

  /** Waits for the end of a CRIU that has answered, and ends one that has not, or does not end though its work is done. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    if (!this.#answered) this.#kill();
    const timer = setTimeout(() => this.#kill(), endsWithinMs);
    await this.#daemon.exited;
    clearTimeout(timer);
    await reapAll(this.#orphans.splice(0));
    close(this.#socket);
  }

  /** With the tasks that it has forked, which have its socket too. */
  #kill(): void {
    if (this.alive) this.#orphans.push(...killCriu(this.pid, socketDescriptor));
  }
}
