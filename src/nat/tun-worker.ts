/**
 * The thread that reads the TUN. It sleeps in poll until a packet or a command is there, or until something held has
 * grown too old; it never runs a timer. Commands are obeyed in the order in which they were sent, and each before any
 * packet that came after it: whoever removes a route after sending `sleep` knows that no packet is misjudged.
 */
import {constants} from 'node:os';
import {parentPort, receiveMessageOnPort, workerData} from 'node:worker_threads';
import {errnoName, pollEvent, tryPoll, tryRead, trySendTo, tryWrite} from '../core/libc.ts';
import type {Trigger} from '../core/trigger.ts';
import {type HoldCommand, type HoldReport, type HoldThreadData, sharedSlot} from './hold-command.ts';
import {countSlot, type Handling, HoldQueue} from './hold-queue.ts';

interface Told {
  readonly countsAt: number;
  epoch: number;
  reported: boolean;
}

/** EBADFD, which Node has no name for. */
const badDescriptorState = 77;
/** How many packets are read between two looks at what has expired. */
const batchSize = 64;

class TunWorker {
  readonly #data: HoldThreadData;
  readonly #queue: HoldQueue;
  readonly #sent: Int32Array<SharedArrayBuffer>;
  readonly #apps = new Map<number, Told>();
  readonly #buffer = Buffer.alloc(65536);
  readonly #count = Buffer.alloc(8);
  readonly #target = Buffer.alloc(16);
  #obeyed = 0;
  #stopped = false;
  #problemReported = false;

  constructor(data: HoldThreadData) {
    this.#data = data;
    this.#queue = new HoldQueue(data.limits, data.counts);
    this.#sent = new Int32Array(data.shared);
    this.#target.writeUInt16LE(2, 0);
  }

  run(): void {
    const fds = Buffer.alloc(16);
    fds.writeInt32LE(this.#data.tun, 0);
    fds.writeInt16LE(pollEvent.in, 4);
    fds.writeInt32LE(this.#data.wakeUp, 8);
    fds.writeInt16LE(pollEvent.in, 12);
    while (!this.#stopped) {
      const waitMs = this.#queue.nextExpiryMs() - performance.now();
      const ready = tryPoll(fds, 2, waitMs === Number.POSITIVE_INFINITY ? -1 : Math.max(0, Math.ceil(waitMs)));
      if (ready < 0 && ready !== -constants.errno.EINTR) throw new Error(`Cannot poll the TUN: ${errnoName(-ready)}`);
      if (ready > 0 && fds.readInt16LE(14) !== 0) tryRead(this.#data.wakeUp, this.#count);
      this.#obey();
      if (ready > 0 && fds.readInt16LE(6) !== 0) this.#readPackets();
      this.#answer(this.#queue.expire(performance.now()));
    }
  }

  #readPackets(): void {
    for (let count = 0; count < batchSize; count++) {
      const size = tryRead(this.#data.tun, this.#buffer);
      // Somebody has deleted the interface: there will be no more packets, and poll would not wait any more.
      if (size === -badDescriptorState) throw new Error('Cannot read the TUN: the interface is gone');
      if (size <= 0) return;
      if (Atomics.load(this.#sent, sharedSlot.sent) !== this.#obeyed) this.#obey();
      const raw = Buffer.from(this.#buffer.subarray(0, size));
      this.#handle(raw, this.#queue.packet(raw, performance.now()));
    }
  }

  #handle(raw: Buffer, handling: Handling): void {
    if (handling === null) return;
    switch (handling.action) {
      case 'deliver':
        this.#deliver([handling.packet]);
        break;
      case 'answer':
        this.#answer([handling.packet]);
        break;
      case 'wanted':
        this.#report(raw.readUInt32BE(16), handling.trigger);
        break;
      default:
        handling satisfies never;
    }
  }

  #report(address: number, trigger: Trigger): void {
    const app = this.#apps.get(address);
    if (app === undefined) return;
    Atomics.add(this.#data.counts, app.countsAt + countSlot.wanted, 1);
    if (app.reported) return;
    app.reported = true;
    this.#say({kind: 'wanted', address, epoch: app.epoch, trigger});
  }

  #obey(): void {
    for (let next = receiveMessageOnPort(this.#data.commands); next !== undefined; next = receiveMessageOnPort(this.#data.commands)) {
      this.#obeyed++;
      this.#apply(next.message as HoldCommand);
    }
  }

  #apply(command: HoldCommand): void {
    switch (command.kind) {
      case 'add':
        this.#add(command);
        break;
      case 'sleep':
        this.#startEpoch(command.address, command.epoch);
        this.#queue.sleep(command.address, command.flows);
        break;
      case 'set flows':
        this.#answer(this.#queue.setFlows(command.address, command.flows, performance.now()));
        break;
      case 'wake':
        this.#deliver(this.#queue.wake(command.address));
        break;
      case 'refuse':
        this.#startEpoch(command.address, command.epoch);
        this.#answer(this.#queue.refuse(command.address));
        break;
      case 'remove':
        this.#apps.delete(command.address);
        this.#queue.remove(command.address);
        break;
      case 'stop':
        this.#stopped = true;
        break;
      default:
        command satisfies never;
    }
  }

  #add({address, expose, countsAt}: Extract<HoldCommand, {kind: 'add'}>): void {
    this.#apps.set(address, {countsAt, epoch: 0, reported: false});
    this.#queue.add(address, expose, countsAt);
  }

  #startEpoch(address: number, epoch: number): void {
    const app = this.#apps.get(address);
    if (app === undefined) return;
    app.epoch = epoch;
    app.reported = false;
  }

  #deliver(packets: readonly Buffer[]): void {
    for (const packet of packets) this.#checkWritten('write a held packet back', tryWrite(this.#data.tun, packet));
  }

  #answer(packets: readonly Buffer[]): void {
    for (const packet of packets) {
      packet.copy(this.#target, 4, 16, 20);
      this.#checkWritten('answer for a sleeping app', trySendTo(this.#data.rawSocket, packet, 0, this.#target));
    }
  }

  /** A packet that cannot be written is lost like any other packet; that it happens is told once. */
  #checkWritten(what: string, result: number): void {
    if (result >= 0 || this.#problemReported) return;
    this.#problemReported = true;
    this.#say({kind: 'problem', message: `Cannot ${what}: ${errnoName(-result)}`});
  }

  #say(report: HoldReport): void {
    parentPort?.postMessage(report);
  }
}

new TunWorker(workerData as HoldThreadData).run();
