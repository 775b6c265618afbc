/**
 * The thread that serves the FUSE device. It blocks in poll, never in read: a thread blocked in a read of the device
 * would keep the process from ending. Commands come over a message port and are announced through an eventfd, since a
 * thread that never returns to its event loop gets no events.
 */
import {constants} from 'node:os';
import {type MessagePort, receiveMessageOnPort, workerData} from 'node:worker_threads';
import {CodedError, errorMessage} from '../../core/errors.ts';
import {errnoName, pollEvent, tryPoll, tryRead, tryWrite} from '../../core/libc.ts';
import {ExtentReader} from './fuse-extents.ts';
import type {FuseCommand, FuseReport, FuseWorkerData} from './fuse-messages.ts';
import {decodeRequest, encodeError, replyHeaderBytes, requestBufferBytes} from './fuse-protocol.ts';
import {RequestHandler} from './fuse-requests.ts';
import {FuseTree} from './fuse-tree.ts';

const {EAGAIN, EINTR, EIO, ENODEV, ENOENT} = constants.errno;

/** After so many requests the commands get their turn, however busy the device is. */
const requestsPerTurn = 64;

class FuseServer {
  readonly #device: number;
  readonly #bell: number;
  readonly #port: MessagePort;
  readonly #tree = new FuseTree();
  readonly #reader = new ExtentReader();
  readonly #handler: RequestHandler;
  readonly #requestBuffer = Buffer.alloc(requestBufferBytes);
  readonly #errorBuffer = Buffer.alloc(replyHeaderBytes);
  readonly #failedNodes = new Set<number>();

  constructor(data: FuseWorkerData) {
    this.#device = data.device;
    this.#bell = data.bell;
    this.#port = data.port;
    this.#handler = new RequestHandler(this.#tree, this.#reader, (error, nodeId) => this.#reportReadError(error, nodeId));
  }

  /** Serves until a stop command or until the kernel ends the connection; blocks the thread. */
  serve(): void {
    const polled = Buffer.alloc(16);
    polled.writeInt32LE(this.#device, 0);
    polled.writeInt16LE(pollEvent.in, 4);
    polled.writeInt32LE(this.#bell, 8);
    polled.writeInt16LE(pollEvent.in, 12);
    for (;;) {
      const ready = tryPoll(polled, 2, -1);
      if (ready === -EINTR) continue;
      if (ready < 0) throw new CodedError('ERR_FUSE_DEVICE', `Cannot poll the FUSE device: ${errnoName(-ready)}`, {source: 'host'});
      if (polled.readInt16LE(14) !== 0 && this.#obey() === 'stop') return;
      if (polled.readInt16LE(6) !== 0 && this.#serveRequests() === 'disconnected') return;
    }
  }

  [Symbol.dispose](): void {
    this.#reader[Symbol.dispose]();
    this.#port.close();
  }

  /** @returns 'disconnected' when the kernel has ended the connection: unmounted or aborted */
  #serveRequests(): 'go on' | 'disconnected' {
    for (let count = 0; count < requestsPerTurn; count++) {
      const received = tryRead(this.#device, this.#requestBuffer);
      if (received === -EAGAIN) return 'go on';
      if (received === -ENODEV) return 'disconnected';
      // ENOENT: the request was interrupted before it was read.
      if (received === -EINTR || received === -ENOENT) continue;
      if (received < 0) return 'disconnected';
      this.#serveRequest(this.#requestBuffer.subarray(0, received));
    }
    return 'go on';
  }

  #serveRequest(data: Buffer): void {
    let reply: Buffer | undefined;
    let first = false;
    try {
      const request = decodeRequest(data);
      first = request.operation.kind === 'init';
      reply = this.#handler.handle(request);
    } catch (error) {
      // One request that we do not understand must not stop the others.
      this.#report({kind: 'read-failed', message: `Cannot answer a FUSE request: ${errorMessage(error)}`});
      encodeError(this.#errorBuffer, data.readBigUInt64LE(8), EIO);
      reply = this.#errorBuffer;
    }
    // A failed write means that nobody waits any more: the reader was killed or the file system unmounted.
    if (reply !== undefined) tryWrite(this.#device, reply);
    if (first) this.#report({kind: 'ready'});
  }

  #obey(): 'go on' | 'stop' {
    tryRead(this.#bell, Buffer.alloc(8));
    for (;;) {
      const received: {message: FuseCommand} | undefined = receiveMessageOnPort(this.#port);
      if (received === undefined) return 'go on';
      const command = received.message;
      switch (command.kind) {
        case 'add':
          this.#tree.add(command.directory, command.files);
          this.#report({kind: 'done', id: command.id});
          break;
        case 'remove':
          this.#remove(command.directory);
          this.#report({kind: 'done', id: command.id});
          break;
        case 'stop':
          return 'stop';
        default:
          return command satisfies never;
      }
    }
  }

  #remove(directory: string): void {
    const files = this.#tree.remove(directory);
    this.#reader.release(files);
    for (const file of files) this.#failedNodes.delete(file.nodeId);
  }

  #reportReadError(error: unknown, nodeId: number): void {
    if (this.#failedNodes.has(nodeId)) return;
    this.#failedNodes.add(nodeId);
    this.#report({kind: 'read-failed', message: errorMessage(error)});
  }

  #report(report: FuseReport): void {
    this.#port.postMessage(report);
  }
}

function isWorkerData(data: unknown): data is FuseWorkerData {
  return typeof data === 'object' && data !== null && 'device' in data && 'bell' in data && 'port' in data;
}

const data: unknown = workerData;
if (!isWorkerData(data)) throw new CodedError('ERR_ASSERTION', 'The FUSE thread was started without its descriptors', {source: 'bug'});
using server = new FuseServer(data);
server.serve();
