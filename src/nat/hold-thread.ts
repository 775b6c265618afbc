/** The main thread's side of the thread that reads the TUN. */
import {once} from 'node:events';
import {MessageChannel, Worker} from 'node:worker_threads';
import {close, eventfd, socket, socketType, tryWrite} from '../core/libc.ts';
import type {Log} from '../core/log.ts';
import type {Trigger} from '../core/trigger.ts';
import {type HoldCommand, type HoldReport, type HoldThreadData, sharedSlot} from './hold-command.ts';
import type {HoldLimits} from './hold-queue.ts';

export interface HoldThread extends AsyncDisposable {
  /** Obeyed before any packet that arrives afterwards. Returns at once. */
  send(command: Exclude<HoldCommand, {kind: 'stop'}>): void;
}

/** Plain JavaScript has no type annotations left, and another name. */
const workerUrl = new URL(import.meta.url.endsWith('.ts') ? './tun-worker.ts' : './tun-worker.js', import.meta.url);

/**
 * Starts the thread. It does not keep the process alive, and ends before it does.
 * @param options.tun the TUN's descriptor, which stays the caller's and must outlive the thread
 */
export async function startHoldThread(options: {
  tun: number;
  limits: HoldLimits;
  counts: Int32Array<SharedArrayBuffer>;
  log: Log;
  onWanted: (address: number, epoch: number, trigger: Trigger) => void;
}): Promise<HoldThread> {
  await using scope = new AsyncDisposableStack();
  const eventfdNonBlocking = 0o4000;
  const eventfdCloseOnExec = 0o2000000;
  const wakeUp = eventfd(eventfdNonBlocking | eventfdCloseOnExec);
  scope.defer(() => close(wakeUp));
  const rawProtocol = 255;
  const rawSocket = socket(2, socketType.raw | socketType.closeOnExec | socketType.nonBlocking, rawProtocol);
  scope.defer(() => close(rawSocket));
  const {port1: commands, port2} = new MessageChannel();
  scope.defer(() => commands.close());
  const shared = new SharedArrayBuffer(sharedSlot.count * 4);
  const sent = new Int32Array(shared);
  const workerData: HoldThreadData = {tun: options.tun, rawSocket, wakeUp, limits: options.limits, counts: options.counts, commands: port2, shared};
  const worker = new Worker(workerUrl, {workerData, transferList: [port2], env: {}, stdin: false, execArgv: []});
  const one = Buffer.alloc(8);
  one.writeBigUInt64LE(1n);
  let ended = false;
  const send = (command: HoldCommand): void => {
    if (ended) return;
    commands.postMessage(command);
    Atomics.add(sent, sharedSlot.sent, 1);
    tryWrite(wakeUp, one);
  };
  const stop = (): void => send({kind: 'stop'});
  const exited = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      ended = true;
      resolve();
    });
  });
  worker.on('message', (report: HoldReport) => {
    if (report.kind === 'wanted') options.onWanted(report.address, report.epoch, report.trigger);
    else options.log.warn(report.message);
  });
  // Node waits for its threads when it exits, and this one waits in a system call.
  process.once('exit', stop);
  scope.defer(async () => {
    process.off('exit', stop);
    // Whoever disposes waits for the thread, though nothing else may keep the process alive.
    worker.ref();
    stop();
    await exited;
  });
  await once(worker, 'online');
  // Without this thread no packet wakes anybody: an error of it ends the process.
  worker.on('error', (error) => {
    throw error;
  });
  worker.unref();
  commands.unref();
  const owned = scope.move();
  return {send, [Symbol.asyncDispose]: () => owned.disposeAsync()};
}
