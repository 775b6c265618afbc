/** Waits in epoll_wait() while there is nothing to do, because Node cannot wait for an epoll descriptor; the main thread does the work. */
import {parentPort, workerData} from 'node:worker_threads';
import {ReadyDescriptors} from './datagram-calls.ts';
import {type PollerThreadData, pollerState} from './poller-thread-data.ts';

const {epoll, state: shared} = workerData as PollerThreadData;
const state = new Int32Array(shared);
const ready = new ReadyDescriptors(1);

for (;;) {
  Atomics.wait(state, 0, pollerState.polling);
  if (Atomics.load(state, 0) === pollerState.ended) break;
  ready.wait(epoll, -1);
  if (Atomics.compareExchange(state, 0, pollerState.waiting, pollerState.polling) === pollerState.ended) break;
  parentPort?.postMessage(null);
}
