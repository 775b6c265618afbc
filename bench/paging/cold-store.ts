/** An S3 server at the end of a slow line, and what a gateway has to be told to keep its checkpoints there. */
import {fileURLToPath} from 'node:url';
import {run} from '../../src/core/command.ts';
import {startS3Server} from '../../test/helpers/s3-server.ts';
import {startSlowS3} from './slow-s3-thread.ts';
import type {Traffic} from './wakes.ts';

/** What others measured of S3 in the same region, in round numbers. */
export const line = {addedFirstByteMs: 20, streamBytesPerSecond: 80e6} as const;

const programPath = fileURLToPath(new URL('../../bin/picogate', import.meta.url));
const bucket = 'picogate-bench';
const helpTimeoutMs = 30_000;

export interface ColdStore extends AsyncDisposable {
  /** Lines for `global`. */
  readonly globals: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly traffic: () => Traffic;
}

/** The caller disposes it. @throws Error when there is no S3 server, or this version cannot keep checkpoints on one */
export async function openColdStore(signal: AbortSignal): Promise<ColdStore> {
  const {stdout: help} = await run([programPath, 'hibernate', '--help'], {timeoutMs: helpTimeoutMs, signal});
  if (!help.includes('--cold')) throw new Error('cold cases are switched off: this version has no `picogate hibernate NAME --cold`');
  await using scope = new AsyncDisposableStack();
  const server = scope.use(await startS3Server());
  signal.throwIfAborted();
  await server.createBucket(bucket);
  const proxy = scope.use(await startSlowS3({upstream: server.endpoint, ...line}));
  const owned = scope.move();
  return {
    globals: [`store s3://${bucket}/apps endpoint ${proxy.url} region ${server.env['AWS_REGION'] ?? 'us-east-1'} path-style`],
    env: server.env,
    traffic: () => ({requests: proxy.counter('requests'), bytesDown: proxy.counter('bytesDown'), passedOn: proxy.counter('passedOn')}),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
