/** Gateways whose store is a bucket of a server of S3. */
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {type AppRow, type TestGateway, testGateway} from './gateway.ts';
import {type S3Server, startS3Server} from './s3-server.ts';
import {until} from './until.ts';

/** What `apps --json` prints besides. */
export interface StoredRow extends AppRow {
  readonly stored: boolean;
}

/** A server with bucket `apps`; gateways that are started from here on find their credentials. */
export async function appsServer(t: ExecutionContext): Promise<S3Server> {
  const server = await startS3Server();
  t.teardown(() => server[Symbol.asyncDispose]());
  Object.assign(process.env, server.env);
  await server.createBucket('apps');
  return server;
}

/** @param globals further lines of the section */
export async function s3Gateway(t: ExecutionContext, endpoint: string, sections: string, globals: readonly string[] = []): Promise<TestGateway> {
  const lines = [`store s3://apps/test endpoint ${endpoint} path-style`, ...globals];
  return testGateway(t, sections, {globals: lines.map((line) => `    ${line}`).join('\n')});
}

export async function storedRow(gateway: TestGateway, name = 'a'): Promise<StoredRow> {
  return (await gateway.app(name)) as StoredRow;
}

/** Waits until nothing of the app has yet to be uploaded. */
export async function untilStored(gateway: TestGateway, name = 'a'): Promise<void> {
  await until(async () => (await storedRow(gateway, name)).stored, {timeoutMs: 30_000, what: `the upload of ${name}`});
}

/** Where the layers of an app's files are on a worker. */
export function layersOf(gateway: TestGateway, name = 'a'): string {
  return join(gateway.stateDir, 'apps', name, 'layers');
}
