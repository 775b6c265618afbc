/**
 * The thread that serves the mounts of all images. As fuse-worker.ts it blocks in poll only; other than there, requests may have to wait for what the
 * main thread fetches, which tells it as a command.
 */
import {constants} from 'node:os';
import {type MessagePort, receiveMessageOnPort, workerData} from 'node:worker_threads';
import {CodedError, errorMessage} from '../../core/errors.ts';
import {errnoName, pollEvent, tryPoll, tryRead, tryWrite} from '../../core/libc.ts';
import {requestBufferBytes} from '../fuse/fuse-protocol.ts';
import {LocalContents} from './fuse-image-content.ts';
import type {ImageCommand, ImageReport, ImageWorkerData, ServePlan} from './fuse-image-messages.ts';
import {encodeResend} from './fuse-image-protocol.ts';
import {ImageServer} from './fuse-image-server.ts';

const {EAGAIN, EINTR, ENOENT} = constants.errno;

/** After so many requests the other mounts and the commands get their turn. */
const requestsPerTurn = 64;
/** How often a killed program that waits for content is looked for. */
const killedCheckMs = 50;
const pollBytes = 8;

class ImageThread implements Disposable {
  readonly #bell: number;
  readonly #port: MessagePort;
  readonly #contents: LocalContents;
  readonly #servers = new Map<number, ImageServer>();
  /** Pieces that the main thread knows to be wanted. */
  readonly #wanted = new Set<string>();
  readonly #requestBuffer = Buffer.alloc(requestBufferBytes);
  #polled = Buffer.alloc(0);

  constructor(data: ImageWorkerData) {
    this.#bell = data.bell;
    this.#port = data.port;
    this.#contents = new LocalContents(data.filesDir);
    this.#preparePoll();
  }

  /** Serves until a stop command; blocks the thread. */
  serve(): void {
    for (;;) {
      const interrupted = [...this.#servers.values()].some(({hasInterrupted}) => hasInterrupted);
      const ready = tryPoll(this.#polled, this.#servers.size + 1, interrupted ? killedCheckMs : -1);
      if (ready === -EINTR) continue;
      if (ready < 0) throw new CodedError('ERR_FUSE_DEVICE', `Cannot poll the FUSE devices: ${errnoName(-ready)}`, {source: 'host'});
      if (interrupted) for (const server of this.#servers.values()) server.releaseKilled();
      const readyServers = [...this.#servers.values()].filter((_server, index) => this.#polled.readInt16LE((index + 1) * pollBytes + 6) !== 0);
      for (const server of readyServers) this.#serveRequests(server);
      if (this.#polled.readInt16LE(6) !== 0 && this.#obey() === 'stop') return;
    }
  }

  #preparePoll(): void {
    const descriptors = [this.#bell, ...[...this.#servers.values()].map(({device}) => device)];
    this.#polled = Buffer.alloc(descriptors.length * pollBytes);
    for (const [index, descriptor] of descriptors.entries()) {
      this.#polled.writeInt32LE(descriptor, index * pollBytes);
      this.#polled.writeInt16LE(pollEvent.in, index * pollBytes + 4);
    }
  }

  #serveRequests(server: ImageServer): void {
    for (let count = 0; count < requestsPerTurn; count++) {
      const received = tryRead(server.device, this.#requestBuffer);
      if (received === -EAGAIN) return;
      // ENOENT: the request was interrupted before it was read.
      if (received === -EINTR || received === -ENOENT) continue;
      // ENODEV: unmounted everywhere, or aborted.
      if (received < 0) {
        this.#end(server);
        return;
      }
      server.serve(this.#requestBuffer.subarray(0, received));
    }
  }

  #end(server: ImageServer): void {
    this.#servers.delete(server.mount);
    server[Symbol.dispose]();
    this.#preparePoll();
    this.#report({kind: 'ended', mount: server.mount});
  }

  #obey(): 'go on' | 'stop' {
    tryRead(this.#bell, Buffer.alloc(8));
    for (;;) {
      const received: {message: ImageCommand} | undefined = receiveMessageOnPort(this.#port);
      if (received === undefined) return 'go on';
      if (received.message.kind === 'stop') return 'stop';
      this.#do(received.message);
    }
  }

  #do(command: Exclude<ImageCommand, {kind: 'stop'}>): void {
    switch (command.kind) {
      case 'serve':
        this.#add(command.plan);
        return;
      case 'stored':
        for (const piece of command.pieces) this.#wanted.delete(`${command.key}:${piece}`);
        this.#contents.stored(command.key, command.pieces, command.part);
        for (const server of this.#servers.values()) server.arrived(command.key);
        return;
      case 'failed':
        this.#wanted.delete(`${command.key}:${command.piece}`);
        for (const server of this.#servers.values()) server.failed(command.key, command.piece);
        return;
      case 'dropped':
        for (const wanted of this.#wanted) if (wanted.startsWith(`${command.key}:`)) this.#wanted.delete(wanted);
        this.#contents.dropped(command.key);
        for (const server of this.#servers.values()) server.askAgain(command.key);
        return;
      case 'count':
        this.#report({kind: 'counted', id: command.id, counts: {...this.#servers.get(command.mount)?.counts}});
        return;
      default:
        command satisfies never;
    }
  }

  #add(plan: ServePlan): void {
    try {
      const server = new ImageServer(plan, this.#contents, (report) => this.#report(report));
      this.#servers.set(plan.mount, server);
      this.#preparePoll();
      if (!plan.takenOver) return;
      const written = tryWrite(plan.device, encodeResend());
      if (written < 0) this.#report({kind: 'error', mount: plan.mount, message: `Cannot have requests again that were under way: ${errnoName(-written)}`});
      this.#report({kind: 'ready', mount: plan.mount});
    } catch (error) {
      this.#report({kind: 'error', mount: plan.mount, message: errorMessage(error)});
      this.#report({kind: 'ended', mount: plan.mount});
    }
  }

  #report(report: ImageReport): void {
    if (report.kind === 'wanted') {
      const wanted = `${report.key}:${report.piece}`;
      if (this.#wanted.has(wanted)) return;
      this.#wanted.add(wanted);
    }
    this.#port.postMessage(report);
  }

  [Symbol.dispose](): void {
    for (const server of this.#servers.values()) server[Symbol.dispose]();
    this.#contents[Symbol.dispose]();
    this.#port.close();
  }
}

function isWorkerData(data: unknown): data is ImageWorkerData {
  return typeof data === 'object' && data !== null && 'filesDir' in data && 'bell' in data && 'port' in data;
}

const data: unknown = workerData;
if (!isWorkerData(data)) throw new CodedError('ERR_ASSERTION', 'The thread that serves images was started without its descriptors', {source: 'bug'});
using thread = new ImageThread(data);
thread.serve();
