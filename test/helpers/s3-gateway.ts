/** Gateways whose store is a bucket of a server of S3. */
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {type AppRow, type TestGateway, testGateway} from './gateway.ts';
import {type S3Server, startS3Server} from './s3-server.ts';
import {until} from './until.ts';

/** What `apps --json` prints besides. */
export interface StoredRow extends AppRow {
  readonly stored: boolean;
}

let running: Promise<S3Server> | undefined;

test.after.always('the S3 server is stopped', async () => (await running)?.[Symbol.asyncDispose]());

/** A server with bucket `apps`, one for all tests of a file; gateways that are started from here on find their credentials. */
export function appsServer(): Promise<S3Server> {
  running ??= start();
  return running;
}

async function start(): Promise<S3Server> {
  const server = await startS3Server();
  Object.assign(process.env, server.env);
  await server.createBucket('apps');
  return server;
}

/** @param prefix of what it stores in the bucket: gateways with the same one find each other's apps */
export async function s3Gateway(t: ExecutionContext, {endpoint, prefix}: {endpoint: string; prefix: string}, sections: string): Promise<TestGateway> {
  return testGateway(t, sections, {globals: `    store s3://apps/${prefix} endpoint ${endpoint} path-style`});
}

export async function storedRow(gateway: TestGateway, name = 'a'): Promise<StoredRow> {
  return gateway.app(name);
}

/** Waits until nothing of the app has yet to be uploaded. */
export async function untilStored(gateway: TestGateway, name = 'a'): Promise<void> {
  await until(async () => (await storedRow(gateway, name)).stored, {timeoutMs: 30_000, what: `the upload of ${name}`});
}

/** Where the layers of an app's files are on a worker. */
export function layersOf(gateway: TestGateway, name = 'a'): string {
  return join(gateway.stateDir, 'apps', name, 'layers');
}
