/** A gateway whose store is an S3 server. */
import {rm} from 'node:fs/promises';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {durableApp, listen, verified} from '../helpers/durable-app.ts';
import {type AppRow, freePort, type TestGateway, testGateway} from '../helpers/gateway.ts';
import {killed, pagerPid} from '../helpers/gateway-processes.ts';
import {lineClient} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {hasS3Server, type S3Server, startS3Server} from '../helpers/s3-server.ts';
import {until} from '../helpers/until.ts';

const coldTest = hasS3Server ? rootTest : test.skip;

interface Row extends AppRow {
  readonly stored: boolean;
}

async function row(gateway: TestGateway): Promise<Row> {
  return (await gateway.app('a')) as Row;
}

async function s3Gateway(t: ExecutionContext): Promise<{gateway: TestGateway; port: number; server: S3Server}> {
  const server = await startS3Server();
  t.teardown(() => server[Symbol.asyncDispose]());
  Object.assign(process.env, server.env);
  await server.createBucket('apps');
  const port = await freePort();
  const section = await durableApp('a', ['hibernate-after never']);
  const globals = `    store s3://apps/test endpoint ${server.endpoint} path-style`;
  return {gateway: await testGateway(t, `${section}${listen('a', port)}`, {globals}), port, server};
}

coldTest('an app that is in the store only wakes with all it had, on the connection it had', async (t: ExecutionContext) => {
  const {gateway, port} = await s3Gateway(t);
  await gateway.start();
  using client = await lineClient(port);
  const first = await client.request('count');
  await gateway.cli('hibernate', 'a');
  t.is((await row(gateway)).residency, 'warm');
  await until(async () => (await row(gateway)).stored, {timeoutMs: 30_000, what: 'the end of the upload'});
  t.regex(await gateway.cli('apps'), /warm\+stored/);
  await gateway.cli('hibernate', 'a', '--cold');
  t.like(await row(gateway), {state: 'hibernated', residency: 'cold', stored: true});
  t.log(`first answer: ${first}`);
  const started = performance.now();
  const second = await client.request('count');
  t.log(`answer of the cold app after ${Math.round(performance.now() - started)} ms: ${second}`);
  t.deepEqual([first, second], ['1', '2']);
  t.is((await row(gateway)).residency, 'hot');
  // Running, then cold, in one command; and it stays so over a restart of the gateway.
  await gateway.cli('hibernate', 'a', '--cold');
  await gateway.stop();
  await rm(join(gateway.stateDir, 'cache'), {recursive: true, force: true});
  await gateway.start();
  t.is((await row(gateway)).residency, 'cold');
  using other = await lineClient(port);
  t.is(await other.request('count'), '3');
  t.is(await other.request('verify'), verified);
});

coldTest('a pager that is killed during an upload loses nothing: the next one uploads it', async (t: ExecutionContext) => {
  const {gateway, port} = await s3Gateway(t);
  await gateway.start();
  using client = await lineClient(port);
  await client.request('count');
  await gateway.cli('hibernate', 'a');
  await killed(await pagerPid(gateway.stateDir));
  await until(
    async () => {
      await gateway.cli('hibernate', 'a', '--cold').catch(() => '');
      return (await row(gateway)).residency === 'cold';
    },
    {timeoutMs: 30_000, intervalMs: 500, what: 'the upload by the next pager'},
  );
  t.is(await client.request('count'), '2');
  t.is(await client.request('verify'), verified);
});
