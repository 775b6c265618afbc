/** Gateways whose store on S3 cannot be reached for a while, or cannot be used. */
import {readFile, rm} from 'node:fs/promises';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {durableApp, listen, verified} from '../helpers/durable-app.ts';
import {type FaultProxy, faultProxy} from '../helpers/fault-proxy.ts';
import {freePort, type TestGateway} from '../helpers/gateway.ts';
import {lineClient} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {appsServer, s3Gateway, storedRow, untilStored} from '../helpers/s3-gateway.ts';
import {hasS3Server} from '../helpers/s3-server.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

const s3Test = hasS3Server ? rootTest : test.skip;

interface Lab {
  readonly gateway: TestGateway;
  readonly port: number;
  readonly proxy: FaultProxy;
  /** From now on every request is reset, or none. */
  readonly setReachable: (reachable: boolean) => void;
}

async function lab(t: ExecutionContext, options: readonly string[] = [], names: readonly string[] = ['a']): Promise<Lab & {readonly ports: readonly number[]}> {
  const server = await appsServer();
  const proxy = await faultProxy(server.port);
  t.teardown(() => proxy[Symbol.asyncDispose]());
  const ports: number[] = [];
  let sections = '';
  for (const name of names) {
    const next = await freePort();
    ports.push(next);
    sections += `${await durableApp(name, ['hibernate-after never', ...options])}${listen(name, next)}`;
  }
  const [port = 0] = ports;
  const gateway = await s3Gateway(t, {endpoint: proxy.endpoint, prefix: `outage-${port}`}, sections);
  const setReachable = (reachable: boolean): void => {
    proxy.decide = () => (reachable ? null : {kind: 'reset'});
  };
  return {gateway, port, ports, proxy, setReachable};
}

async function ask(port: number, ...requests: readonly string[]): Promise<string[]> {
  using client = await lineClient(port);
  const answers: string[] = [];
  for (const request of requests) answers.push(await client.request(request));
  return answers;
}

s3Test('a gateway starts while the store cannot be reached: warm apps wake and sleep, cold ones say why not and wake when it is back', async (t) => {
  const {gateway, ports, setReachable} = await lab(t, [], ['a', 'b']);
  const [a = 0, b = 0] = ports;
  await gateway.start();
  for (const port of ports) await ask(port, 'count');
  await gateway.hibernate('a');
  await gateway.cli('hibernate', 'b', '--cold');
  await untilStored(gateway);
  await gateway.stop();
  // Of what is in the store only nothing is known here but what Redis says.
  await rm(join(gateway.stateDir, 'cache/apps/b'), {recursive: true, force: true});
  setReachable(false);
  await gateway.start();
  t.like(await gateway.app('a'), {state: 'hibernated', generation: 1});
  t.like(await gateway.app('b'), {state: 'hibernated', generation: 1});
  t.deepEqual(await ask(a, 'agree', 'count', 'verify'), ['1 1', '2', verified]);
  await gateway.hibernate('a');
  t.like(await storedRow(gateway), {state: 'hibernated', generation: 2, stored: false});
  t.deepEqual(await ask(a, 'agree'), ['2 2']);
  await t.throwsAsync(gateway.cli('wake', 'b'), {message: /Cannot (find out|read|list).*bucket "apps"/});
  t.like(await gateway.app('b'), {state: 'hibernated', generation: 1});
  setReachable(true);
  await until(async () => (await ask(b, 'agree').catch(() => []))[0] === '1 1', {timeoutMs: 20_000, what: 'app b'});
  await gateway.hibernate('a');
  await untilStored(gateway);
});

s3Test('an app of which neither Redis nor this host knows is not taken for a new one, however often the gateway starts in an outage', async (t) => {
  const {gateway, port, setReachable} = await lab(t);
  await gateway.start();
  await ask(port, 'count');
  await gateway.cli('hibernate', 'a', '--cold');
  await gateway.stop();
  for (const name of ['redis', 'cache']) await rm(join(gateway.stateDir, name), {recursive: true, force: true});
  setReachable(false);
  for (let start = 1; start <= 2; start++) {
    await gateway.start();
    await t.throwsAsync(gateway.cli('wake', 'a'), {message: /Cannot find out what app .*a.* starts from/});
    await gateway.stop();
  }
  setReachable(true);
  await gateway.start();
  t.deepEqual(await ask(port, 'agree', 'verify'), ['1 1', verified]);
});

s3Test('a bucket that is not there, or that refuses us, is named at the start', async (t) => {
  const {gateway, proxy} = await lab(t);
  proxy.decide = () => ({kind: 'answer', status: 404, code: 'NoSuchBucket'});
  await t.throwsAsync(gateway.start(), {message: /Cannot use bucket \\?"apps\\?"/});
  proxy.decide = () => ({kind: 'answer', status: 403, code: 'AccessDenied'});
  await t.throwsAsync(gateway.start(), {message: /Cannot use bucket \\?"apps\\?"/});
});

s3Test('an app that is awake with pages in the store only: threads that need one wait until the store is back, the others go on', async (t) => {
  const seen = await temporaryDirectory();
  t.teardown(() => seen[Symbol.asyncDispose]());
  const {gateway, port, setReachable} = await lab(t, ['prefetch off', 'background-fetch off', `volume ${seen.path}:/seen`]);
  const pages = async (): Promise<string[]> => (await readFile(join(seen.path, 'pages'), 'utf8').catch(() => '')).trim().split('\n');
  const shown = async (): Promise<{paging: {waiting: number; missing: number} | null}> =>
    JSON.parse(await gateway.cli('show', 'a', '--json')) as {paging: {waiting: number; missing: number} | null};
  await gateway.start();
  await ask(port, 'count');
  await gateway.cli('hibernate', 'a', '--cold');
  // What it needs to answer is here from now on; the thread that it starts needs seconds for all pages.
  t.deepEqual(await ask(port, 'agree', 'count', 'agree', 'watch'), ['1 1', '2', '2 2', 'ok']);
  setReachable(false);
  await until(async () => ((await shown()).paging?.waiting ?? 0) > 0, {what: 'a thread that waits'});
  await until(async () => (await gateway.cli('events')).includes('page-waits '), {what: 'the event'});
  t.deepEqual(await ask(port, 'agree', 'count', 'agree'), ['2 2', '3', '3 3']);
  t.true(((await shown()).paging?.missing ?? 0) > 1000, 'without a background fetch the pages stay where they are');
  setReachable(true);
  await until(async () => (await pages()).length === 2048, {timeoutMs: 20_000, what: 'all pages'});
  t.deepEqual(
    (await pages()).filter((line) => !line.endsWith(' ok')),
    [],
  );
  t.regex(await gateway.cli('events'), /page-waits-no-more/);
  t.deepEqual(await ask(port, 'verify'), [verified]);
});

s3Test('paging eager: a cold app wakes with all of its memory here, and refuses while the store cannot be reached', async (t) => {
  const {gateway, port, setReachable} = await lab(t, ['paging eager']);
  await gateway.start();
  await ask(port, 'count');
  await gateway.cli('hibernate', 'a', '--cold');
  setReachable(false);
  await t.throwsAsync(gateway.cli('wake', 'a'), {message: /bucket \\?"apps/});
  t.like(await storedRow(gateway), {state: 'hibernated', residency: 'cold', generation: 1});
  setReachable(true);
  t.deepEqual(await ask(port, 'agree'), ['1 1']);
  setReachable(false);
  t.deepEqual(await ask(port, 'verify', 'count'), [verified, '2']);
});
