/** The slow line in a thread of its own, so that it and the client that measures do not wait for each other. */
import {once} from 'node:events';
import {mkdtemp, rm} from 'node:fs/promises';
import {isMainThread, parentPort, Worker, workerData} from 'node:worker_threads';
import {counterBytes, counterPlaces, type SlowLine, type SlowS3Options, serveSlowS3} from './slow-s3.ts';

export interface SlowS3Thread extends AsyncDisposable {
  /** http://127.0.0.1:PORT */
  readonly url: string;
  readonly counter: (name: keyof typeof counterPlaces) => number;
}

/** Resolves when it listens. The caller disposes it. */
export async function startSlowS3(line: SlowLine): Promise<SlowS3Thread> {
  await using scope = new AsyncDisposableStack();
  const copiesDir = await mkdtemp('/var/tmp/picogate-bench-s3-');
  scope.defer(() => rm(copiesDir, {recursive: true, force: true}));
  const counters = new SharedArrayBuffer(counterBytes);
  const options: SlowS3Options = {line, counters, copiesDir};
  const worker = new Worker(new URL(import.meta.url), {workerData: options});
  scope.defer(async () => {
    await worker.terminate();
  });
  const [port] = (await once(worker, 'message')) as [number];
  const sums = new Float64Array(counters);
  const owned = scope.move();
  return {
    url: `http://127.0.0.1:${port}`,
    counter: (name) => sums[counterPlaces[name]] ?? 0,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

if (!isMainThread && parentPort !== null) {
  parentPort.postMessage((await serveSlowS3(workerData as SlowS3Options)).port);
}
