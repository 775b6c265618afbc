/** A gateway whose store is an S3 server. */
import {rm} from 'node:fs/promises';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {durableApp, listen, verified} from '../helpers/durable-app.ts';
import {freePort, type TestGateway} from '../helpers/gateway.ts';
import {killed, pagerPid} from '../helpers/gateway-processes.ts';
import {lineClient} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {appsServer, s3Gateway, storedRow} from '../helpers/s3-gateway.ts';
import {hasS3Server} from '../helpers/s3-server.ts';
import {until} from '../helpers/until.ts';

const coldTest = hasS3Server ? rootTest : test.skip;

async function appOnS3(t: ExecutionContext): Promise<{gateway: TestGateway; port: number}> {
  const {endpoint} = await appsServer();
  const port = await freePort();
  const section = await durableApp('a', ['hibernate-after never']);
  return {gateway: await s3Gateway(t, {endpoint, prefix: `cold-${port}`}, `${section}${listen('a', port)}`), port};
}

coldTest('an app that is in the store only wakes with all it had, on the connection it had', async (t: ExecutionContext) => {
  const {gateway, port} = await appOnS3(t);
  await gateway.start();
  using client = await lineClient(port);
  const first = await client.request('count');
  await gateway.hibernate('a');
  t.is((await storedRow(gateway)).residency, 'warm');
  await until(async () => (await storedRow(gateway)).stored, {timeoutMs: 30_000, what: 'the end of the upload'});
  t.regex(await gateway.cli('apps'), /warm\+stored/);
  await gateway.cli('hibernate', 'a', '--cold');
  t.like(await storedRow(gateway), {state: 'hibernated', residency: 'cold', stored: true});
  t.log(`first answer: ${first}`);
  const started = performance.now();
  const second = await client.request('count');
  t.log(`answer of the cold app after ${Math.round(performance.now() - started)} ms: ${second}`);
  t.deepEqual([first, second], ['1', '2']);
  t.is((await storedRow(gateway)).residency, 'hot');
  // Running, then cold, in one command; and it stays so over a restart of the gateway.
  await gateway.cli('hibernate', 'a', '--cold');
  await gateway.stop();
  await rm(join(gateway.stateDir, 'cache'), {recursive: true, force: true});
  await gateway.start();
  t.is((await storedRow(gateway)).residency, 'cold');
  using other = await lineClient(port);
  t.is(await other.request('count'), '3');
  t.is(await other.request('verify'), verified);
  t.notRegex(await gateway.log(), /"level":50/, 'a cold wake that goes well logs no error');
});

coldTest('a pager that is killed during an upload loses nothing: the next one uploads it', async (t: ExecutionContext) => {
  const {gateway, port} = await appOnS3(t);
  await gateway.start();
  using client = await lineClient(port);
  await client.request('count');
  await gateway.hibernate('a');
  await killed(await pagerPid(gateway.stateDir));
  await until(
    async () => {
      await gateway.cli('hibernate', 'a', '--cold').catch(() => '');
      return (await storedRow(gateway)).residency === 'cold';
    },
    {timeoutMs: 30_000, intervalMs: 500, what: 'the upload by the next pager'},
  );
  t.is(await client.request('count'), '2');
  t.is(await client.request('verify'), verified);
});
