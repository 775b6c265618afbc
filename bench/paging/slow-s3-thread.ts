/** The slow line in a thread of its own, so that it and the client that measures do not wait for each other. */
import {once} from 'node:events';
import {isMainThread, parentPort, Worker, workerData} from 'node:worker_threads';
import {counterBytes, counterPlaces, type SlowLine, serveSlowS3} from './slow-s3.ts';

interface ThreadData {
  readonly line: SlowLine;
  readonly counters: SharedArrayBuffer;
}

export interface SlowS3Thread extends AsyncDisposable {
  /** http://127.0.0.1:PORT */
  readonly url: string;
  counter(name: keyof typeof counterPlaces): number;
}

/** Resolves when it listens. The caller disposes it. */
export async function startSlowS3(line: SlowLine): Promise<SlowS3Thread> {
  const counters = new SharedArrayBuffer(counterBytes);
  const data: ThreadData = {line, counters};
  const worker = new Worker(new URL(import.meta.url), {workerData: data});
  const [port] = (await once(worker, 'message')) as [number];
  const sums = new Float64Array(counters);
  return {
    url: `http://127.0.0.1:${port}`,
    counter: (name) => sums[counterPlaces[name]] ?? 0,
    async [Symbol.asyncDispose]() {
      await worker.terminate();
    },
  };
}

if (!isMainThread && parentPort !== null) {
  const {line, counters} = workerData as ThreadData;
  parentPort.postMessage((await serveSlowS3(line, counters)).port);
}
