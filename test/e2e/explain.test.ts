/** `picogate explain` of apps whose store goes away, from outside. */
import test, {type ExecutionContext} from 'ava';
import {durableApp, durableGateway, durableGatewayWith, listen} from '../helpers/durable-app.ts';
import {faultProxy} from '../helpers/fault-proxy.ts';
import {freePort, type TestGateway} from '../helpers/gateway.ts';
import {lineClient} from '../helpers/line-client.ts';
import {lonelyRedis} from '../helpers/redis-servers.ts';
import {rootTest} from '../helpers/root-test.ts';
import {appsServer, s3Gateway, untilStored} from '../helpers/s3-gateway.ts';
import {hasS3Server} from '../helpers/s3-server.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

const s3Test = hasS3Server ? rootTest : test.skip;

async function said(t: ExecutionContext, gateway: TestGateway, pattern: RegExp): Promise<string> {
  let last = '';
  await until(
    async () => {
      last = await gateway.cli('explain', 'a');
      return pattern.test(last);
    },
    {timeoutMs: 20_000, what: `${pattern.source} in: ${last}`},
  );
  t.regex(last, pattern);
  return last;
}

rootTest('explain says what an app does and what keeps it awake', async (t) => {
  const {gateway, port} = await durableGateway(t, 'hibernate-after 1h');
  await gateway.start();
  await said(t, gateway, /App "a" is not started/);
  using client = await lineClient(port);
  await client.request('count');
  await said(t, gateway, /is awake; it was woken .* by tcp\/80.*\nIt does not sleep because of this: traffic \d+ ms ago/s);
  await gateway.hibernate('a');
  await said(t, gateway, /App "a" sleeps.*\nIts checkpoint, generation 1, is on this host\./s);
  const facts = JSON.parse(await gateway.cli('explain', 'a', '--json')) as {state: string; residence: string; sentences: string[]; store: unknown};
  t.like(facts, {state: 'hibernated', residence: 'warm', store: null});
  t.is(facts.sentences.length, 2);
  await t.throwsAsync(gateway.cli('explain', 'b'), {message: /Cannot find app \\?"b/});
});

rootTest('explain answers while Redis refuses writes, and a command that changes something says why not', async (t) => {
  const redis = await lonelyRedis();
  t.teardown(() => redis[Symbol.asyncDispose]());
  const {gateway} = await durableGatewayWith(t, {globals: `    redis ${redis.url}\n`});
  await gateway.start();
  await redis.servers[0]?.ask('CONFIG', 'SET', 'min-replicas-to-write', '5');
  t.regex(await gateway.cli('explain', 'a'), /App "a" is not started/);
  t.regex(await gateway.cli('metrics'), /^picogate_/m);
  await t.throwsAsync(gateway.cli('wake', 'a'), {message: /NOREPLICAS/});
  await redis.servers[0]?.ask('CONFIG', 'SET', 'min-replicas-to-write', '0');
});

s3Test('explain says that the store is away, what waits for it, and when nothing does any more', async (t) => {
  const server = await appsServer();
  await using proxy = await faultProxy(server.port);
  await using seen = await temporaryDirectory();
  const port = await freePort();
  const options = ['hibernate-after never', 'prefetch off', 'background-fetch off', `volume ${seen.path}:/seen`];
  const gateway = await s3Gateway(t, {endpoint: proxy.endpoint, prefix: `explain-${port}`}, `${await durableApp('a', options)}${listen('a', port)}`);
  await gateway.start();
  using client = await lineClient(port);
  await client.request('count');
  await gateway.hibernate('a');
  await untilStored(gateway);
  await said(t, gateway, /is on this host and in the store/);
  await gateway.cli('hibernate', 'a', '--cold');
  await said(t, gateway, /has to fetch from the store first/);
  t.is(await client.request('agree'), '1 1');
  proxy.decide = () => ({kind: 'reset'});
  // Python's lock may be held by whoever waits for a page: this may be answered only when the store is back.
  const watching = client.request('watch');
  await said(t, gateway, /page faults? waits? for the store, for .* by now: .*The store cannot be reached since .* ago \(last asked/s);
  t.regex(await gateway.cli('metrics'), /^picogate_store_reachable 0$/m);
  t.regex(await gateway.cli('metrics'), /^picogate_app_page_faults_waiting\{app="a"\} [1-9]/m);
  proxy.decide = () => null;
  t.is(await watching, 'ok');
  await until(async () => !/wait|cannot be reached/.test(await gateway.cli('explain', 'a')), {timeoutMs: 20_000, what: 'an end of the wait'});
  await until(async () => /^picogate_store_reachable 1$/m.test(await gateway.cli('metrics')), {what: 'a store that answers'});
  // Asleep with something to upload that cannot be.
  t.is(await client.request('count'), '2');
  proxy.decide = () => ({kind: 'reset'});
  await gateway.hibernate('a');
  await said(t, gateway, /on this host only.*objects have yet to be uploaded, .*the last attempt failed: Cannot/s);
  proxy.decide = () => null;
  await untilStored(gateway);
});
