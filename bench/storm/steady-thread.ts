/**
 * Requests at a steady rate, whether or not the ones before are answered, on connections that stay open. In a thread and with a priority of its own,
 * so that what it measures is the others' work and not that it had to wait itself.
 */
import {connect, type Socket} from 'node:net';
import {setPriority} from 'node:os';
import {parentPort, workerData} from 'node:worker_threads';
import {httpLength, httpQuestion, type Server} from '../client.ts';

export interface SteadyOrder {
  readonly server: Server;
  readonly intervalMs: number;
}

export interface SteadyResult {
  readonly timesMs: readonly number[];
  readonly failures: number;
  /** Not asked, since as many as may be were waiting for an answer. */
  readonly skipped: number;
}

const highestPriority = -20;
/** Without a bound, whoever is too slow would get slower by it. */
const mostWaiting = 32;
/** Those that have no answer after the end are failures. */
const lastAnswersMs = 10_000;

const {server, intervalMs} = workerData as SteadyOrder;
const free: Socket[] = [];
const open = new Set<Socket>();
const timesMs: number[] = [];
let [failures, skipped, waiting, stopping] = [0, 0, 0, false];

function connection(): Socket {
  const socket = connect({...server, noDelay: true});
  open.add(socket);
  socket.on('error', () => undefined); // What follows is 'close'.
  socket.on('close', () => {
    open.delete(socket);
    const at = free.indexOf(socket);
    if (at >= 0) free.splice(at, 1);
  });
  return socket;
}

function ask(): void {
  const socket = free.pop() ?? connection();
  const startedMs = performance.now();
  let received = '';
  waiting++;
  const over = (): void => {
    socket.off('data', read).off('close', failed);
    waiting--;
    if (stopping && waiting === 0) report();
  };
  const read = (data: Buffer): void => {
    received += data.toString('latin1');
    if (httpLength(received) === null) return;
    timesMs.push(performance.now() - startedMs);
    if (/^connection: close/im.test(received)) socket.destroy();
    else free.push(socket);
    over();
  };
  const failed = (): void => {
    failures++;
    over();
  };
  socket.on('data', read).on('close', failed);
  socket.write(httpQuestion.text);
}

function report(): void {
  parentPort?.postMessage({timesMs, failures: failures + waiting, skipped} satisfies SteadyResult);
  process.exit();
}

setPriority(highestPriority);
const startedMs = performance.now();
let asked = 0;
const timer = setInterval(() => {
  for (; asked * intervalMs <= performance.now() - startedMs; asked++) {
    if (waiting < mostWaiting) ask();
    else skipped++;
  }
}, intervalMs);
parentPort?.once('message', () => {
  stopping = true;
  clearInterval(timer);
  if (waiting === 0) report();
  setTimeout(report, lastAnswersMs);
});
