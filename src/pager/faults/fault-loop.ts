/**
 * The loop of the fault worker: one thread for all apps, blocked in poll(2) on their userfaultfds, on the sockets of restores under way, and
 * on a bell that is rung when the main thread has sent a command. In each turn: events and faults first, then faults that had to wait, then
 * a fraction of a millisecond of prefetching.
 */
import {receiveMessageOnPort} from 'node:worker_threads';
import {errorCode, errorMessage} from '../../core/errors.ts';
import {faultPoint} from '../../core/fault-point.ts';
import type {InstanceId} from '../../core/ids.ts';
import {pollEvent, tryPoll, tryRead, yieldProcessor} from '../../core/libc.ts';
import {dropKept, type EventWindow, keepLeftMessages, keptMessages, keptSpaces, leftMessages, openEventWindow} from './event-window.ts';
import type {FaultAnswer, FaultCommand, FaultReply, FaultReport, FaultRequest, FaultWorkerData} from './fault-messages.ts';
import {FaultServer} from './fault-server.ts';
import {missingTables} from './missing-tables.ts';
import {PagedInstance, SpaceNumbers, type Worker} from './paged-instance.ts';
import type {PagedProcess} from './paged-process.ts';
import type {NextTurn} from './prefetch.ts';
import {ReadAheadMemory} from './read-ahead-memory.ts';
import {takeOver} from './takeover.ts';

/** So long a fault may wait for it. */
const prefetchTurnMs = 0.2;
const sweepMs = 5000;
const pollBytes = 8;
/** How often a process is asked at once whether it has done with its mappings: its threads go on only now, and it takes some microseconds. */
const settleAttempts = 16;
const settleMs = 1;

type Watched =
  | {readonly kind: 'bell'; readonly fd: number}
  | {readonly kind: 'socket'; readonly fd: number; readonly instance: PagedInstance}
  | {readonly kind: 'process'; readonly fd: number; readonly instance: PagedInstance; readonly process: PagedProcess};

export class FaultLoop {
  readonly #data: FaultWorkerData;
  readonly #instances = new Map<InstanceId, PagedInstance>();
  readonly #numbers = new SpaceNumbers();
  readonly #window: EventWindow;
  readonly #server = new FaultServer(
    (report) => this.#report(report),
    (instance, process) => this.#forget(instance, process),
  );
  readonly #memory = new ReadAheadMemory();
  /** Processes whose last events may have been told in another order than they happened. */
  readonly #unsettled = new Set<PagedProcess>();
  /** In the order in which they were wanted. */
  readonly #prefetching = new Set<PagedInstance>();
  #watched: Watched[] = [];
  #pollBuffer = Buffer.alloc(0);
  #changed = true;
  #nextSweep = performance.now() + sweepMs;
  /** When prefetching wants its next turn; undefined when it has nothing to do. */
  #nextPrefetch: number | undefined;
  #stopped = false;

  /** Takes over what a killed pager left, then says `ready`. */
  constructor(data: FaultWorkerData) {
    this.#data = data;
    const {windowPath, laterSpaces} = data;
    const left = leftMessages(windowPath);
    const kept = keptSpaces(windowPath);
    const lefts = [...keptMessages(windowPath, kept), ...(left === undefined ? [] : [left])];
    for (const space of laterSpaces) this.#numbers.use(space);
    for (const plan of data.takeovers) {
      try {
        this.#instances.set(plan.instance, takeOver(plan, lefts, this.#shared()));
      } catch (error) {
        this.#report({kind: 'lost', instance: plan.instance, reason: errorMessage(error), damaged: false});
      }
    }
    if (left !== undefined && laterSpaces.includes(left.space)) keepLeftMessages(windowPath, left.space);
    dropKept(
      windowPath,
      kept.filter((space) => !laterSpaces.includes(space)),
    );
    // Cleared only now: everything that was left in it is in the journals, or kept.
    this.#window = openEventWindow(data.windowPath);
    this.#reply({kind: 'ready'});
  }

  /** Returns after the command `stop`. */
  run(): void {
    while (!this.#stopped) this.#turn();
    for (const instance of this.#instances.values()) instance[Symbol.dispose]();
    this.#window[Symbol.dispose]();
    this.#server[Symbol.dispose]();
    this.#memory[Symbol.dispose]();
  }

  #reply(reply: FaultReply): void {
    this.#data.port.postMessage(reply);
  }

  #report(report: FaultReport): void {
    this.#reply({kind: 'report', report});
  }

  #shared(): Worker {
    return {report: (report) => this.#report(report), numbers: this.#numbers, fetches: this.#server.fetches, memory: this.#memory};
  }

  #turn(): void {
    if (this.#changed) this.#watchAll();
    const ready = tryPoll(this.#pollBuffer, this.#watched.length, this.#timeoutMs(performance.now()));
    if (ready > 0) this.#handleReady();
    for (const process of [...this.#unsettled]) this.#settle(process, 1);
    this.#server.retry();
    this.#server.bring();
    this.#prefetch();
    if (performance.now() >= this.#nextSweep) this.#sweep();
  }

  #timeoutMs(now: number): number {
    const settled = this.#unsettled.size === 0 ? Number.POSITIVE_INFINITY : now + settleMs;
    const next = Math.min(this.#nextSweep, this.#nextPrefetch ?? Number.POSITIVE_INFINITY, this.#server.isBehind ? now : this.#server.nextRetry(), settled);
    return Math.max(0, Math.ceil(next - now));
  }

  #watchAll(): void {
    const watched: Watched[] = [{kind: 'bell', fd: this.#data.bell}];
    for (const instance of this.#instances.values()) {
      const socket = instance.socket?.fd;
      if (socket !== undefined) watched.push({kind: 'socket', fd: socket, instance});
      for (const process of instance.processes) watched.push({kind: 'process', fd: process.fd, instance, process});
    }
    this.#watched = watched;
    this.#pollBuffer = Buffer.alloc(watched.length * pollBytes);
    for (const [index, {fd}] of watched.entries()) {
      this.#pollBuffer.writeInt32LE(fd, index * pollBytes);
      this.#pollBuffer.writeInt16LE(pollEvent.in, index * pollBytes + 4);
    }
    this.#changed = false;
  }

  #handleReady(): void {
    for (const [index, watched] of this.#watched.entries()) {
      if (this.#pollBuffer.readInt16LE(index * pollBytes + 6) === 0) continue;
      switch (watched.kind) {
        case 'bell':
          this.#commands();
          break;
        case 'socket':
          this.#receive(watched.instance);
          break;
        case 'process':
          if (watched.process.open) this.#readProcess(watched.instance, watched.process);
          break;
        default:
          watched satisfies never;
      }
    }
  }

  #receive(instance: PagedInstance): void {
    try {
      instance.receive();
    } catch (error) {
      instance.lose(errorMessage(error));
      instance.socket?.[Symbol.dispose]();
      instance.socket = undefined;
    }
    this.#changed = true;
    this.#nextPrefetch = 0;
  }

  /** Events first: a page that was removed must not be served from before. */
  #readProcess(instance: PagedInstance, process: PagedProcess): void {
    // What was read before is settled by what the kernel says now, not after more was read.
    process.settle();
    const batch = this.#window.read(process.fd, process.number);
    if (batch === undefined) {
      if (!process.alive()) this.#forget(instance, process);
      return;
    }
    faultPoint('pager:events:read');
    if (instance.applyEvents(process, batch.batch, batch.messages)) this.#changed = true;
    this.#window.done();
    faultPoint('pager:events:recorded');
    this.#settle(process, settleAttempts);
    for (const message of batch.messages) if (message.kind === 'fault') this.#server.serve(instance, process, message.page);
  }

  #settle(process: PagedProcess, attempts: number): void {
    for (let attempt = 0; attempt < attempts && process.open && !process.events.settled; attempt++) process.settle();
    if (process.open && !process.events.settled) this.#unsettled.add(process);
    else this.#unsettled.delete(process);
  }

  /**
   * Whoever was wanted first has all of the time that it can use: of fifty apps that are wanted at once, half then run after half of the time, and a
   * block that was decoded for one run is still there for the next.
   */
  #prefetch(): void {
    const untilMs = performance.now() + prefetchTurnMs;
    let next: number | undefined;
    for (const instance of this.#prefetching) {
      const turn = this.#prefetchFor(instance, untilMs);
      if (turn.kind === 'idle') continue;
      next = Math.min(next ?? Number.POSITIVE_INFINITY, turn.kind === 'now' ? 0 : turn.time);
      if (turn.kind === 'now') break;
    }
    this.#nextPrefetch = next;
    // The kernel puts a thread that is woken behind this one rather than on another processor that has just become idle, and lets it wait for a tick
    // or two. CRIU waits then, for an answer of the gateway's main thread.
    if (next === 0) yieldProcessor();
  }

  /** @returns `now` when the time is over and it could have used more */
  #prefetchFor(instance: PagedInstance, untilMs: number): NextTurn {
    const {prefetch} = instance;
    let turn: NextTurn = {kind: 'idle'};
    do turn = prefetch?.turn(performance.now()) ?? turn;
    while (turn.kind === 'now' && performance.now() < untilMs);
    if (prefetch?.done !== false) {
      instance.endPrefetch();
      this.#prefetching.delete(instance);
      return {kind: 'idle'};
    }
    return turn;
  }

  /** What they wait for may be there. */
  #recheckPrefetches(): void {
    for (const {prefetch} of this.#prefetching) if (prefetch?.recheck() === true) this.#nextPrefetch = 0;
  }

  #sweep(): void {
    for (const instance of this.#instances.values()) if (instance.sweep()) this.#changed = true;
    this.#server.forgetClosed();
    this.#nextSweep = performance.now() + sweepMs;
  }

  #forget(instance: PagedInstance, process: PagedProcess): void {
    instance.forget(process);
    this.#server.forgetClosed();
    this.#changed = true;
  }

  #commands(): void {
    tryRead(this.#data.bell, Buffer.alloc(8));
    for (let received = receiveMessageOnPort(this.#data.port); received !== undefined; received = receiveMessageOnPort(this.#data.port)) {
      const {id, command} = received.message as FaultRequest;
      try {
        this.#reply({kind: 'answer', id, answer: this.#execute(command)});
      } catch (error) {
        this.#reply({kind: 'failed', id, code: errorCode(error) ?? 'ERR_ASSERTION', message: errorMessage(error)});
      }
      this.#changed = true;
    }
  }

  #execute(command: FaultCommand): FaultAnswer {
    switch (command.kind) {
      case 'prepare':
        return this.#prepare(command);
      case 'takeover':
        return this.#takeOver(command);
      case 'expect':
        return this.#expect(command);
      case 'missing': {
        const instance = this.#known(command.instance);
        const pump = (process: PagedProcess): void => this.#readProcess(instance, process);
        return {kind: 'missing', tables: missingTables(instance, command.processes, {buffer: this.#server.buffer, pump, fetches: this.#server.fetches})};
      }
      case 'stats': {
        const instance = this.#known(command.instance);
        return {kind: 'stats', stats: {...instance.stats(), ...this.#server.waitOf(instance)}};
      }
      case 'release':
        return {kind: 'released', gone: this.#release(command.instance)};
      case 'repark':
        this.#known(command.instance).repark(command.parking);
        return {kind: 'reparked'};
      case 'fetched':
      case 'unfetchable':
        this.#server.fetchEnded(command.id, command.kind === 'fetched' ? undefined : command.reason);
        this.#recheckPrefetches();
        return {kind: 'noted'};
      case 'stop':
        this.#stopped = true;
        return {kind: 'stopped'};
      default:
        return command satisfies never;
    }
  }

  #known(id: InstanceId): PagedInstance {
    const instance = this.#instances.get(id);
    if (instance === undefined) throw new Error(`The fault worker has no instance "${id}"`);
    return instance;
  }

  #prepare({plan}: Extract<FaultCommand, {kind: 'prepare'}>): FaultAnswer {
    using scope = new DisposableStack();
    const instance = scope.use(new PagedInstance(plan, this.#shared()));
    instance.listen(plan);
    scope.move();
    this.#instances.set(plan.instance, instance);
    return {kind: 'prepared'};
  }

  #expect({instance: id, expectation}: Extract<FaultCommand, {kind: 'expect'}>): FaultAnswer {
    const instance = this.#known(id);
    instance.expect(expectation);
    this.#prefetching.add(instance);
    this.#nextPrefetch = 0;
    return {kind: 'expecting'};
  }

  #takeOver({plan, spaces}: Extract<FaultCommand, {kind: 'takeover'}>): FaultAnswer {
    const {windowPath} = this.#data;
    this.#instances.set(plan.instance, takeOver(plan, keptMessages(windowPath, spaces), this.#shared()));
    dropKept(windowPath, spaces);
    return {kind: 'taken-over'};
  }

  #release(id: InstanceId): boolean {
    const instance = this.#instances.get(id);
    if (instance === undefined) return true;
    instance.sweep();
    if (instance.processes.length > 0) return false;
    this.#instances.delete(id);
    this.#prefetching.delete(instance);
    instance[Symbol.dispose]();
    this.#server.forgetClosed();
    return true;
  }
}
