/**
 * One `criu swrk`: a CRIU that serves one request of its parent over a socket pair, unix(7) SOCK_SEQPACKET. It may wait
 * for that request as long as it likes, so it can be started, and put where it has to work, ahead of time.
 *
 * It is not killed when the gateway dies: in the middle of a dump that would leave the tasks as they are, while a CRIU
 * that finds its socket closed undoes the dump.
 */
import {readlinkSync} from 'node:fs';
import {Socket} from 'node:net';
import {setTimeout as sleep} from 'node:timers/promises';
import {collect, keptOutputBytes} from '../core/command.ts';
import {CodedError} from '../core/errors.ts';
import {close, pipe, recvAsync, socketpair, socketType, trySend} from '../core/libc.ts';
import {withinNetns} from '../core/netns.ts';
import {type Ending, type QuickChild, quickSpawn} from '../core/quick-spawn.ts';
import type {Argv} from '../core/tools.ts';
import {type CriuRequest, type CriuResponse, decodeResponse, encodeRequest, rpc} from './criu-rpc.ts';
import {killCriu, killLeft, reapAll} from './process-tree.ts';
import {openStandardFiles, type StandardFiles} from './standard-files.ts';

/** Where CRIU finds its socket and the app's standard files, which a restore needs. */
const socketDescriptor = 3;
export const inputDescriptor = 4;
export const outputDescriptor = 5;
/** Of a failure it has the first line of its log, of up to 1 KiB; all else is short. There are many of these: each waits while its app sleeps. */
const responseBytesMax = 4096;
const noSignal = 0x4000;
/** After its answer. One whose tasks were refused waits for them for ever now and then, though it has killed them itself (4.2.1). */
const endsWithinMs = 2000;
/** An answer is read by another thread. */
export const lastWordsMs = 200;
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
  readonly #child: QuickChild;
  /** All that it has said on standard error, when nobody has that any more. */
  readonly #stderr: Promise<string>;
  readonly #socket: number;
  #open = true;
  #answered = false;
  /** By us. */
  #isKilled = false;
  /** Of a CRIU that was killed: tasks of a restore that it had begun, and what it had forked to find out about the kernel. */
  readonly #orphans: number[] = [];

  /** @param of.link to the socket of CRIU, as it is called in /proc */
  private constructor(child: QuickChild, {stderr, socket, link}: {readonly stderr: Socket; readonly socket: number; readonly link: string}) {
    this.#child = child;
    this.#stderr = collect(stderr, keptOutputBytes).catch(() => ''); // It only explains.
    this.#socket = socket;
    void this.#endWhatIsLeft(link);
  }

  /** Whoever has the socket of a CRIU that somebody has killed would be waited for: neither an answer nor an end would come. */
  async #endWhatIsLeft(link: string): Promise<void> {
    await this.ended;
    // What it has said before is read by another thread.
    await sleep(lastWordsMs, undefined, {ref: false});
    if (!this.#answered && !this.#isKilled) this.#orphans.push(...killLeft(link));
  }

  /** Not by a fork: the gateway is large, and others wait for it meanwhile. @throws CodedError ERR_COMMAND_MISSING */
  static start({criu, netnsPath, standardFiles}: SessionOptions): CriuSession {
    using files = openStandardFiles(standardFiles);
    const [ours, theirs] = socketpair(socketType.sequenced | socketType.closeOnExec);
    const [stderr, stderrOfCriu] = pipe();
    try {
      const argv: Argv = [...criu, 'swrk', String(socketDescriptor)];
      const descriptors = [null, null, stderrOfCriu, theirs, files.input, files.output];
      const child = withinNetns(netnsPath, () => quickSpawn(argv, {descriptors, env: {...process.env, ...withoutBreakpoints}}));
      return new CriuSession(child, {
        stderr: new Socket({fd: stderr, readable: true, writable: false}),
        socket: ours,
        link: readlinkSync(`/proc/self/fd/${theirs}`),
      });
    } catch (error) {
      for (const descriptor of [ours, stderr]) close(descriptor);
      throw error;
    } finally {
      for (const descriptor of [theirs, stderrOfCriu]) close(descriptor);
    }
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** False once CRIU has ended. */
  get alive(): boolean {
    return this.#child.isRunning;
  }

  /** It has said how its request ended, and tidies up by itself. */
  get hasAnswered(): boolean {
    return this.#answered;
  }

  /** Also of one that leaves a task, which has its standard error. */
  get ended(): Promise<Ending> {
    return this.#child.ended;
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
    const [{exitCode, signal: killedBy}, stderr] = await Promise.all([this.ended, this.#stderr]);
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
    await Promise.all([this.ended, this.#stderr]);
    clearTimeout(timer);
    await reapAll(this.#orphans.splice(0));
    close(this.#socket);
  }

  /** With the tasks that it has forked, which have its socket too. */
  #kill(): void {
    this.#isKilled ||= this.alive;
    if (this.alive) this.#orphans.push(...killCriu(this.pid, socketDescriptor));
  }
}
